//! Runs seeds: many to look for one that breaks a promise, one to see how.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use kourou_simulation::clients::ClientKind;
use kourou_simulation::coverage::Coverage;
use kourou_simulation::faults::FaultKind;
use kourou_simulation::{Plan, Report, run, shrink};

/// Simulates the broker, its disk, its network and its clients, each run from one number.
#[derive(Debug, Parser)]
#[command(name = "kourou-simulation")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run this one alone, and tell everything that happens.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Look for a shorter history in which the seed breaks the same promise.
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Run each seed twice: both must be the same.
    #[arg(long)]
    twice: bool,
    /// Clients that take part, by name; all unless told.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<String>,
    /// Faults that may happen, by name; all unless told, none for "none".
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// How long clients are busy at the most, in simulated milliseconds.
    #[arg(long)]
    busy_ms: Option<i64>,
    /// How many faults happen at the most.
    #[arg(long)]
    faults_max: Option<usize>,
    /// Threads; as many as processors unless told. What happens in a run does not depend on it.
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after a seed that fails.
    #[arg(long)]
    keep_going: bool,
    /// Fail if a fault never met something that it could have met.
    #[arg(long)]
    demand_coverage: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let plan = plan(&arguments)?;
    // A panic is told with its seed, by whoever ran it.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = arguments.seed {
        return Ok(alone(seed, &plan, arguments.shrink));
    }
    let totals = Totals::default();
    let begin = Instant::now();
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first + arguments.seeds;
    let stop = AtomicBool::new(false);
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |count| count.get()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let report = run(seed, &plan);
                    let differs = arguments.twice && run(seed, &plan) != report;
                    let failed = totals.add(seed, &report, differs);
                    stop.fetch_or(failed && !arguments.keep_going, Ordering::Relaxed);
                }
            });
        }
    });
    Ok(totals.print(begin.elapsed(), arguments.demand_coverage))
}

fn plan(arguments: &Arguments) -> Result<Plan> {
    let mut plan = Plan::default();
    if !arguments.clients.is_empty() {
        plan.clients = named(&arguments.clients, &ClientKind::ALL, |kind| kind.name())?;
    }
    if arguments.faults == ["none"] {
        plan.faults.clear();
    } else if !arguments.faults.is_empty() {
        plan.faults = named(&arguments.faults, &FaultKind::ALL, |kind| kind.name())?;
    }
    plan.busy_ms_max = arguments.busy_ms.unwrap_or(plan.busy_ms_max);
    plan.faults_max = arguments.faults_max.unwrap_or(plan.faults_max);
    Ok(plan)
}

fn named<T: Copy>(names: &[String], all: &[T], name: impl Fn(T) -> String) -> Result<Vec<T>> {
    names
        .iter()
        .map(|wanted| {
            let found = all.iter().copied().find(|one| name(*one) == *wanted);
            let known: Vec<String> = all.iter().map(|one| name(*one)).collect();
            match found {
                Some(one) => Ok(one),
                None => bail!("there is no '{wanted}'; there are: {}", known.join(" ")),
            }
        })
        .collect()
}

/// Runs one seed, telling what happens.
fn alone(seed: u64, plan: &Plan, shrinks: bool) -> ExitCode {
    let told = |plan: &Plan| {
        run(
            seed,
            &Plan {
                tells: true,
                ..plan.clone()
            },
        )
    };
    let report = if shrinks {
        let Some(smaller) = shrink(seed, plan) else {
            println!("seed {seed} breaks no promise");
            return ExitCode::SUCCESS;
        };
        let report = told(&smaller);
        println!("{}", again(seed, &smaller));
        report
    } else {
        told(plan)
    };
    println!("{}", line(seed, &report));
    if report.violation.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The command that runs a seed with a plan.
fn again(seed: u64, plan: &Plan) -> String {
    let clients: Vec<String> = plan.clients.iter().map(|kind| kind.name()).collect();
    let mut faults: Vec<String> = plan.faults.iter().map(|kind| kind.name()).collect();
    if faults.is_empty() {
        faults.push("none".to_owned());
    }
    let mut command = format!(
        "cargo run -p kourou-simulation -- --seed {seed} --clients {} --faults {} --busy-ms {}",
        clients.join(","),
        faults.join(","),
        plan.busy_ms_max
    );
    if plan.faults_max < usize::MAX {
        command.push_str(&format!(" --faults-max {}", plan.faults_max));
    }
    command
}

fn line(seed: u64, report: &Report) -> String {
    let outcome = report
        .violation
        .as_ref()
        .map_or_else(|| "every promise kept".to_owned(), ToString::to_string);
    format!(
        "seed {seed}: hash {:016x}, {} events, {} messages, {} starts, {} s simulated: {outcome}",
        report.hash,
        report.events,
        report.messages,
        report.starts,
        report.simulated_ms / 1_000
    )
}

/// What all seeds came to.
#[derive(Default)]
struct Totals(Mutex<Sums>);

#[derive(Default)]
struct Sums {
    seeds: u64,
    failed: u64,
    events: u64,
    messages: u64,
    starts: u64,
    simulated_ms: i64,
    linearizable: u64,
    coverage: Coverage,
}

impl Totals {
    /// Adds a run; whether it failed.
    fn add(&self, seed: u64, report: &Report, differs: bool) -> bool {
        let Ok(mut sums) = self.0.lock() else { return true };
        sums.seeds += 1;
        sums.events += report.events;
        sums.messages += report.messages;
        sums.starts += report.starts;
        sums.simulated_ms += report.simulated_ms;
        sums.linearizable += u64::from(report.linearizable);
        sums.coverage.add(&report.coverage);
        let failed = report.violation.is_some() || differs;
        if failed {
            sums.failed += 1;
            println!("{}", line(seed, report));
        }
        if differs {
            println!("seed {seed} does not do the same twice: Determinism");
        }
        failed
    }

    fn print(&self, took: Duration, demands_coverage: bool) -> ExitCode {
        let Ok(sums) = self.0.lock() else {
            return ExitCode::FAILURE;
        };
        println!("{}", sums.coverage);
        let simulated_s = sums.simulated_ms as f64 / 1e3;
        println!(
            "{} seeds in {:.1} s: {} failed; {:.1} hours simulated ({:.0} times as fast as time), {} events, {} messages, {} starts, \
             {} faults, {} histories linearizable",
            sums.seeds,
            took.as_secs_f64(),
            sums.failed,
            simulated_s / 3_600.0,
            simulated_s / took.as_secs_f64(),
            sums.events,
            sums.messages,
            sums.starts,
            sums.coverage.faults(),
            sums.linearizable,
        );
        let empty = sums.coverage.empty();
        if demands_coverage && !empty.is_empty() {
            println!("never met: {empty:?}");
            return ExitCode::FAILURE;
        }
        if sums.failed > 0 {
            println!("to see one: cargo run -p kourou-simulation -- --seed N --shrink");
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}
