//! kourou beside Apache's broker, in turn, in one run, measured by `kourou bench`: `benches/peers/compare` builds what is needed
//! and runs this.
//!
//! `peers --kourou PATH --apache PATH --work DIR [--rounds 3] [--seconds 5] [--only PREFIX,...] [--raw FILE]`
//!
//! Every round starts each broker anew over an empty store, alone in a network namespace that has only the loopback device, and
//! takes it through the same runs. The tables show the median of the rounds, and the least and the most beside it.

mod brokers;
mod runs;
mod table;

use std::error::Error;
use std::path::PathBuf;

use brokers::{Broker, Flavour, Paths};
use runs::{RUNS, Run, Samples};

struct Settings {
    paths: Paths,
    rounds: usize,
    seconds: u32,
    only: Vec<String>,
    raw: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let mut samples = Samples::default();
    let chosen: Vec<&Run> = RUNS
        .iter()
        .filter(|run| {
            settings.only.is_empty()
                || settings
                    .only
                    .iter()
                    .any(|only| run.name.starts_with(only.as_str()))
        })
        .collect();
    for round in 1..=settings.rounds {
        for flavour in Flavour::ALL {
            let runs: Vec<&Run> = chosen
                .iter()
                .copied()
                .filter(|run| run.of.contains(&flavour))
                .collect();
            if runs.is_empty() {
                continue;
            }
            let mut broker = Broker::start(flavour, &settings.paths)?;
            broker.warm_up(&settings.paths)?;
            for run in runs {
                let sample = run.take(&mut broker, &settings.paths, settings.seconds)?;
                eprintln!("round {round}  {:<15} {:<12} {sample}", flavour.name(), run.name);
                samples.add(run.name, flavour, sample);
            }
            broker.stop(&settings.paths)?;
        }
    }
    if let Some(path) = &settings.raw {
        std::fs::write(path, serde_json::to_vec_pretty(&samples)?)?;
    }
    table::print(&chosen, &samples);
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Settings, Box<dyn Error>> {
    let (mut kourou, mut apache, mut work) = (None, None, None);
    let (mut rounds, mut seconds, mut only, mut raw) = (3, 5, Vec::new(), None);
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--kourou" => kourou = Some(value()?),
            "--apache" => apache = Some(value()?),
            "--work" => work = Some(value()?),
            "--rounds" => rounds = value()?.parse()?,
            "--seconds" => seconds = value()?.parse()?,
            "--only" => only = value()?.split(',').map(str::to_owned).collect(),
            "--raw" => raw = Some(PathBuf::from(value()?)),
            _ => return Err(format!("unknown option {flag}").into()),
        }
    }
    let path = |given: Option<String>, flag: &str| {
        given
            .map(PathBuf::from)
            .ok_or_else(|| format!("{flag} is missing"))
    };
    Ok(Settings {
        paths: Paths {
            kourou: path(kourou, "--kourou")?,
            apache: path(apache, "--apache")?,
            work: path(work, "--work")?,
        },
        rounds,
        seconds,
        only,
        raw,
    })
}
