//! Counts the instructions and the allocations that a message costs on each path, and holds them against the kept counts.
//!
//! `benches/instructions [--accept WHY] [PATH-PREFIX...]`
//!
//! Ends with an error if a path costs more than 5 % more than `benches/instructions.tsv` says. With `--accept` the file takes the
//! counts of today over, and keeps the reason beside them.
//!
//! The path itself is taken by this very program under callgrind: `instructions --take PATH` does nothing else, and all that is to be
//! counted happens inside of [`counted`], where callgrind is told to count and nowhere else.

use std::error::Error;
use std::hint::black_box;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

use kourou_benches::counts::{Count, GROWTH_MAX, Table, Verdict};
use kourou_benches::paths::{self, Path, Round};

/// glibc copies and clears long stretches by one instruction that callgrind counts once for each byte: it shall not use it.
const TUNABLES: &str =
    "glibc.cpu.x86_rep_movsb_threshold=268435456:glibc.cpu.x86_rep_stosb_threshold=268435456";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut own = std::env::args().skip(1);
    if let (Some("--take"), Some(name)) = (own.next().as_deref(), own.next()) {
        return take(&name).map(|()| ExitCode::SUCCESS);
    }
    if !is_comparable() {
        println!("not counted: the kept counts are of x86-64 processors with AVX2 and PCLMULQDQ");
        return Ok(ExitCode::SUCCESS);
    }
    let (accept, prefixes) = arguments()?;
    let chosen = |path: &&Path| {
        prefixes.is_empty()
            || prefixes
                .iter()
                .any(|prefix| path.name.starts_with(prefix.as_str()))
    };
    let file = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("instructions.tsv");
    let mut table = Table::parse(&fs::read_to_string(&file)?)
        .map_err(|line| format!("{} has a line that is none: {line}", file.display()))?;

    let tools = Tools::find()?;
    let mut counts = Vec::new();
    let mut verdicts = Vec::new();
    println!(
        "{:<30} {:>12} {:>8} {:>12} {:>12}",
        "a message on", "instructions", "", "allocations", "kept"
    );
    for path in paths::all().filter(chosen) {
        let count = Count {
            path: path.name.to_owned(),
            instructions: tools.instructions(path)?,
            allocations: tools.allocations(path)?,
        };
        let verdict = table.judge(&count);
        println!("{}", line(&count, &table, verdict));
        verdicts.push(verdict);
        counts.push(count);
    }

    if let Some(why) = accept {
        table.accept(&counts, &why, |name| paths::named(name).is_some());
        fs::write(&file, table.text())?;
        println!("{} has these counts now", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(conclude(&verdicts, &tools))
}

/// Takes one path until it is warm, and then so that it counts.
fn take(name: &str) -> Result<(), Box<dyn Error>> {
    let path = paths::named(name).ok_or_else(|| format!("no path is called '{name}'"))?;
    let mut round = path.open()?.round;
    for _ in 0..path.warm_rounds() {
        round()?;
    }
    Ok(counted(&mut round, path.counted_rounds())?)
}

/// All that counts.
#[inline(never)]
fn counted(round: &mut Round, rounds: usize) -> io::Result<()> {
    for _ in 0..black_box(rounds) {
        round()?;
    }
    Ok(())
}

fn line(count: &Count, table: &Table, verdict: Verdict) -> String {
    let kept = table.get(&count.path).map(|kept| &kept.count);
    let change = kept.map_or_else(String::new, |kept| {
        format!("{:+.1} %", (count.instructions / kept.instructions - 1.0) * 100.0)
    });
    let allocations = kept.map_or_else(String::new, |kept| format!("{:.3}", kept.allocations));
    let remark = match verdict {
        Verdict::Same => "",
        Verdict::Grown => "  GROWN",
        Verdict::Shrunk => "  shrunk",
        Verdict::New => "  NEW",
    };
    format!(
        "{:<30} {:>12.0} {change:>8} {:>12.3} {allocations:>12}{remark}",
        count.path, count.instructions, count.allocations
    )
}

fn conclude(verdicts: &[Verdict], tools: &Tools) -> ExitCode {
    if verdicts.contains(&Verdict::Shrunk) {
        println!("less than before: keep it so with benches/instructions --accept \"what made it less\"");
    }
    if !verdicts
        .iter()
        .any(|verdict| matches!(verdict, Verdict::Grown | Verdict::New))
    {
        return ExitCode::SUCCESS;
    }
    println!(
        "more than {:.0} % above the kept count, or not in the file. Where they are spent: callgrind_annotate {}/PATH.out\n\
         where allocations are made: cargo run --profile profiling -p kourou-benches --bin allocations PATH\n\
         if they are worth it: benches/instructions --accept \"what they buy\"",
        GROWTH_MAX * 100.0,
        tools.reports.display(),
    );
    ExitCode::FAILURE
}

fn arguments() -> Result<(Option<String>, Vec<String>), String> {
    let mut arguments = std::env::args().skip(1);
    let mut accept = None;
    let mut prefixes = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--accept" => {
                let why = arguments.next().filter(|why| !why.trim().is_empty());
                accept = Some(why.ok_or("--accept wants a reason")?);
            }
            option if option.starts_with('-') => return Err(format!("no option is called {option}")),
            prefix => prefixes.push(prefix.to_owned()),
        }
    }
    Ok((accept, prefixes))
}

/// Whether counts of this machine can be held against the kept ones: checksums and searches choose their code by the processor.
fn is_comparable() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// The programs that count.
struct Tools {
    own: PathBuf,
    allocations: PathBuf,
    /// Where callgrind's reports are left.
    reports: PathBuf,
}

impl Tools {
    fn find() -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let folder = own.parent().ok_or(io::ErrorKind::NotFound)?;
        let reports = folder.with_file_name("instructions");
        fs::create_dir_all(&reports)?;
        Ok(Self {
            allocations: folder.join("allocations"),
            own,
            reports,
        })
    }

    fn instructions(&self, path: &Path) -> Result<f64, Box<dyn Error>> {
        let report = self.reports.join(format!("{}.out", path.name.replace('/', "-")));
        let output = Command::new("valgrind")
            .args([
                "--tool=callgrind",
                "--collect-atstart=no",
                "--toggle-collect=*instructions::counted*",
            ])
            .arg(format!("--callgrind-out-file={}", report.display()))
            .arg(&self.own)
            .args(["--take", path.name])
            .env("GLIBC_TUNABLES", TUNABLES)
            .output()
            .map_err(|error| format!("valgrind does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("{}: {}", path.name, String::from_utf8_lossy(&output.stderr)).into());
        }
        let text = fs::read_to_string(&report)?;
        let total = text
            .lines()
            .find_map(|line| {
                line.strip_prefix("totals: ")
                    .or_else(|| line.strip_prefix("summary: "))
            })
            .and_then(|total| total.trim().parse::<f64>().ok())
            .filter(|total| *total > 0.0)
            .ok_or_else(|| format!("{} counts nothing", report.display()))?;
        Ok(total / path.counted_messages() as f64)
    }

    fn allocations(&self, path: &Path) -> Result<f64, Box<dyn Error>> {
        let output = Command::new(&self.allocations)
            .args(["--count", path.name])
            .output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", path.name, String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }
}
