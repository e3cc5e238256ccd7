//! The engine at its limits, each figure beside what the machine can do at best, measured in the same run.
//!
//! `scale [--small] [--dir FOLDER] [--store FOLDER] [append] [hot] [cold] [drain] [queues] [restart]`
//!
//! Without names all of them, one after the other. Stores lie in FOLDER, which is on the disk that is meant, and go when their figure is
//! there; the largest takes 11 GiB, and what takes long of it is to fill it: with `--store` that one stays, and is used as it is the next
//! time. `--small` does the same with a fraction of the data, for a machine that has no minutes to give. Exits
//! non-zero when a bar is missed.

mod append;
mod drain;
mod queues;
mod reads;
mod restart;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kourou_benches::served::Outcome;

/// What a run is asked for.
struct Run {
    dir: PathBuf,
    /// Where the store lies that is restarted, if it is to stay.
    store: Option<PathBuf>,
    is_small: bool,
    missed: Vec<String>,
}

impl Run {
    /// `full`, or a fraction of it.
    fn sized(&self, full: u64, small: u64) -> u64 {
        if self.is_small { small } else { full }
    }

    /// A folder for one store, gone when dropped.
    fn folder(&self) -> Outcome<tempfile::TempDir> {
        Ok(tempfile::tempdir_in(&self.dir)?)
    }

    /// Prints a figure and its bar.
    fn bar(&mut self, what: &str, is_met: bool, figure: &str, bar: &str) {
        let verdict = if is_met { "ok    " } else { "MISSED" };
        println!("{verdict} {what}: {figure}; the bar: {bar}");
        if !is_met {
            self.missed.push(what.to_owned());
        }
    }
}

type Measure = fn(&mut Run) -> Outcome<()>;

const ALL: [(&str, Measure); 6] = [
    ("append", append::measure),
    ("hot", reads::hot),
    ("cold", reads::cold),
    ("drain", drain::measure),
    ("queues", queues::measure),
    ("restart", restart::measure),
];

fn main() -> ExitCode {
    match run() {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            println!("missed: {}", missed.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<Vec<String>> {
    let mut run = Run {
        dir: PathBuf::from("target"),
        store: None,
        is_small: false,
        missed: Vec::new(),
    };
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--small" => run.is_small = true,
            "--dir" => run.dir = arguments.next().ok_or("--dir wants a folder")?.into(),
            "--store" => run.store = Some(arguments.next().ok_or("--store wants a folder")?.into()),
            // What this program starts to be killed, and to start again.
            "fill" | "first-append" => {
                let dir = arguments.next().ok_or("which store?")?;
                let rest: Vec<_> = arguments.collect();
                restart::child(&argument, Path::new(&dir), &rest)?;
                return Ok(Vec::new());
            }
            name => wanted.push(name.to_owned()),
        }
    }
    std::fs::create_dir_all(&run.dir)?;
    if let Some(unknown) = wanted
        .iter()
        .find(|name| ALL.iter().all(|(known, _)| known != name))
    {
        return Err(format!("{unknown:?} is nothing that is measured here").into());
    }
    for (name, measure) in ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure(&mut run)?;
        }
    }
    Ok(run.missed)
}
