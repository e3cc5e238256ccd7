//! Kills the broker over and over while witnesses send to it, then reads everything and compares.
//!
//! `KOUROU_KILLS` says how often (20 unless told), `KOUROU_KILL_SEED` repeats the moments of an earlier run. `tests/kill-loop` does it
//! many times with the release binary.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use support::broker::Kourou;
use support::programs::{JavaLine, Program, Running};
use support::{Ports, alone, disk, fresh_folder, number_from_env, programs, say, wait_until};

const TOPIC: &str = "ledger";
const KILLS_USUAL: u64 = 20;
/// How long the witnesses may need to get an acknowledgement from a broker that was just started.
const FIRST_ACK_LIMIT: Duration = Duration::from_secs(30);

/// How long the witnesses may need until nothing is pending any more.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn the_audit_finds_what_is_wrong() -> Result<()> {
    let _machine = alone();
    programs::go_test("./ledger")
}

#[test]
fn kills_with_durable_flush_lose_nothing_acknowledged() -> Result<()> {
    kills("durable", false)
}

/// A kill alone leaves the page cache behind; here all that was not synced goes with it.
#[test]
fn power_cuts_with_durable_flush_lose_nothing_acknowledged() -> Result<()> {
    if !disk::can_fail()? {
        return Ok(());
    }
    kills("durable", true)
}

#[test]
fn kills_with_relaxed_flush_lose_nothing_acknowledged() -> Result<()> {
    // A killed process leaves the page cache behind, so that the relaxed answer is kept as well.
    kills("relaxed", false)
}

/// What was popped is never there again once its acknowledgement was answered, and comes again if it was not acknowledged,
/// counted once for each time that it was handed out, whatever the answer of a pop became.
#[test]
fn kills_under_pop_repeat_nothing_acknowledged_and_lose_nothing() -> Result<()> {
    let _machine = alone();
    let Some(program) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let (kills, seed) = kills_and_seed()?;
    say(&format!("kill test, pop: {kills} kills, KOUROU_KILL_SEED={seed}"));
    let folder = fresh_folder("kill")?;
    let ports = Ports::free()?;
    let options = ["--segment-size", "8MiB"];
    let start = Instant::now();
    let mut kourou = Kourou::start_ready(folder.path(), ports, &options)?;
    let limit = SETTLE_LIMIT + 5 * Duration::from_secs(kills);
    let mut poppers = Poppers::start(&program, &ports.namesrv_addr(), folder.path(), limit)?;
    poppers.wait_for_more(0, 100)?;
    let mut moments = Moments(seed | 1);
    for kill in 1..=kills {
        moments.wait_for_next(&mut poppers)?;
        poppers.tell_of_kill()?;
        kourou.kill().with_context(|| format!("before kill {kill}"))?;
        kourou = Kourou::start(folder.path(), ports, &options)?;
    }
    kourou.wait_ready()?;
    let before = poppers.acknowledged();
    poppers.wait_for_more(before, 1)?;
    let acknowledged = poppers.acknowledged();
    // An error if anything of what the poppers heard was not true.
    poppers.finish()?;
    say(&format!(
        "SUMMARY pop: {kills} kills, {acknowledged} acknowledged, 0 lost, 0 repeated after their acknowledgement; {}; {:?}",
        rolled(folder.path())?,
        start.elapsed()
    ));
    kourou.stop()
}

/// How often to kill, and what chooses when.
fn kills_and_seed() -> Result<(u64, u64)> {
    let kills = number_from_env("KOUROU_KILLS", KILLS_USUAL)?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let seed = number_from_env("KOUROU_KILL_SEED", u64::try_from(clock)?)?;
    Ok((kills, seed))
}

/// With `power_cuts` each kill is one: the store is on a disk that keeps only what was synced.
fn kills(flush: &str, power_cuts: bool) -> Result<()> {
    let _machine = alone();
    let Some(ledger) = programs::ledger()? else {
        return Ok(());
    };
    let (kills, seed) = kills_and_seed()?;
    let what = if power_cuts {
        format!("{flush}, power cuts")
    } else {
        flush.to_owned()
    };
    say(&format!(
        "kill test, flush {what}: {kills} kills, KOUROU_KILL_SEED={seed}"
    ));

    let folder = fresh_folder("kill")?;
    let mut disk = power_cuts.then(|| disk::mount(folder.path())).transpose()?;
    let ports = Ports::free()?;
    // Small segments, so that kills meet the roll from one to the next.
    let mut options = vec!["--flush", flush, "--segment-size", "8MiB"];
    // Whoever is killed between half and end is asked soon.
    options.extend([
        "--transaction-timeout-ms",
        "1000",
        "--transaction-check-interval-ms",
        "1000",
    ]);
    let start = Instant::now();
    let mut kourou = Kourou::start_ready(folder.path(), ports, &options)?;
    let mut witness = Witness::start(&ledger, ports, folder.path(), seed)?;
    witness.wait_for_more(0, 100)?;

    let mut moments = Moments(seed | 1);
    let mut early = 0;
    for kill in 1..=kills {
        early += u64::from(moments.wait_for_next(&mut witness)?);
        kourou.kill().with_context(|| format!("before kill {kill}"))?;
        witness.tell_of_kill()?;
        if let Some(disk) = &mut disk {
            disk.power_cut().with_context(|| format!("power cut {kill}"))?;
        }
        kourou = Kourou::start(folder.path(), ports, &options)?;
        if kill % 100 == 0 {
            say(&format!(
                "{kill} kills, {} acknowledged, {:?}",
                witness.acknowledged(),
                start.elapsed()
            ));
        }
    }
    kourou.wait_ready()?;
    let before = witness.acknowledged();
    witness.wait_for_more(before, 1)?;
    let produced = witness.finish()?;
    let verified = verify(&ledger, ports, folder.path());

    // Once more after a clean stop: what recovery put together must also be what is written down.
    kourou.stop()?;
    let kourou = Kourou::start_ready(folder.path(), ports, &options)?;
    let verified_again = verify(&ledger, ports, folder.path());
    say(&format!(
        "kill test, flush {what}: {kills} kills ({early} before the first acknowledgement of a life) in {:?}\n  sent     {produced}\n  found    {}\n  reopened {}",
        start.elapsed(),
        shown(&verified),
        shown(&verified_again),
    ));
    let left = rolled(folder.path())?;
    if verified.is_err() || verified_again.is_err() {
        let kept = folder.keep();
        say(&format!(
            "the store and the ledger are kept in {}",
            kept.display()
        ));
    }
    let (found, reopened) = (verified?, verified_again?);
    ensure!(found == reopened, "a clean restart changed what is found");
    say(&summary(&what, kills, &found, &left, start.elapsed())?);
    kourou.stop()?;
    // Before the folder that it is in.
    drop(disk);
    Ok(())
}

/// One line for people: what was found of what was acknowledged.
fn summary(what: &str, kills: u64, found: &str, left: &str, took: Duration) -> Result<String> {
    let found: serde_json::Value = serde_json::from_str(found)?;
    let sum = |fields: &[&str]| -> u64 {
        let numbers = fields.iter().filter_map(|field| found.pointer(field)?.as_u64());
        numbers.sum()
    };
    Ok(format!(
        "SUMMARY {what}: {kills} kills, {} acknowledged (of these {} for a time, {} transactions), {} lost, {} corrupted, {} moved or \
         out of order, {} doubled, {} timers early, {} doubled and {} leaked transactions; {left}; {took:?}",
        sum(&[
            "/acknowledged",
            "/timers/acknowledged",
            "/transactions/acknowledged"
        ]),
        sum(&["/timers/acknowledged"]),
        sum(&["/transactions/acknowledged"]),
        sum(&["/lost", "/timers/lost", "/transactions/lost"]),
        sum(&["/corrupted"]),
        sum(&["/moved", "/unordered", "/offsetsGivenTwice"]),
        sum(&["/duplicates", "/timers/repeated"]),
        sum(&["/timers/early"]),
        sum(&["/transactions/repeated"]),
        sum(&["/transactions/visibleThoughRolledBack"]),
    ))
}

/// How many segments and indexes the run left, which says how often kills could meet their making.
fn rolled(folder: &Path) -> Result<String> {
    let count = |name: &str| -> Result<usize> {
        let path = folder.join("store").join(name);
        let listed = std::fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))?;
        Ok(listed.count())
    };
    Ok(format!("{} segments, {} indexes", count("log")?, count("index")?))
}

fn shown(verified: &Result<String>) -> String {
    match verified {
        Ok(summary) => summary.clone(),
        Err(failure) => format!("{failure:#}"),
    }
}

fn verify(ledger: &Path, ports: Ports, folder: &Path) -> Result<String> {
    let output = Command::new(ledger)
        .args([
            "verify",
            "--namesrv",
            &ports.namesrv_addr(),
            "--topic",
            TOPIC,
            "--file",
        ])
        .arg(folder.join("ledger.bin"))
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(summary) = text.lines().find_map(|line| line.strip_prefix("summary ")) else {
        bail!(
            "verify ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    };
    ensure!(output.status.success(), "{summary}");
    Ok(summary.to_owned())
}

/// When to kill: xorshift, so that a seed means the same moments everywhere.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Waits for a moment worth killing at, and says whether it came before any acknowledgement of this life.
    fn wait_for_next(&mut self, witness: &mut impl Watched) -> Result<bool> {
        let before = witness.acknowledged();
        match self.below(10) {
            // While it starts, recovers, or answers its first requests.
            0 | 1 => std::thread::sleep(Duration::from_micros(self.below(60_000))),
            // Between the first acknowledgements and a few hundred later, somewhere within a group.
            2..=6 => {
                witness.wait_for_more(before, 1 + self.below(400))?;
                std::thread::sleep(Duration::from_micros(self.below(20_000)));
            }
            // In full flow.
            _ => {
                witness.wait_for_more(before, 1)?;
                std::thread::sleep(Duration::from_millis(100 + self.below(500)));
            }
        }
        Ok(witness.acknowledged() == before)
    }
}

/// Whoever is a witness of what the broker acknowledges.
trait Watched {
    fn acknowledged(&self) -> u64;

    /// An error if there is nobody any more who could be a witness.
    fn check_alive(&mut self) -> Result<()>;

    fn wait_for_more(&mut self, before: u64, more: u64) -> Result<()> {
        wait_until(
            &format!("{more} more than {before} acknowledgements"),
            FIRST_ACK_LIMIT,
            || {
                self.check_alive()?;
                Ok(self.acknowledged() >= before + more)
            },
        )
    }
}

/// Poppers, in a process of their own.
struct Poppers {
    /// Taken when they are done.
    program: Option<Running>,
    signals: PathBuf,
}

impl Poppers {
    fn start(program: &Program, namesrv: &str, folder: &Path, limit: Duration) -> Result<Self> {
        let signals = folder.join("signals");
        std::fs::create_dir(&signals)?;
        let limit_s = limit.as_secs().to_string();
        let cases = ["--timeout-s", &limit_s, "pop-kills"];
        let program = program.start(namesrv, "kill", &cases, Some(&signals))?;
        Ok(Self {
            program: Some(program),
            signals,
        })
    }

    /// Tells them before it happens.
    fn tell_of_kill(&self) -> Result<()> {
        let mut kills = File::options()
            .create(true)
            .append(true)
            .open(self.signals.join("kills"))?;
        Ok(kills.write_all(b".")?)
    }

    fn finish(mut self) -> Result<()> {
        std::fs::write(self.signals.join("enough"), "")?;
        self.program.take().context("they have ended")?.finish()
    }
}

impl Watched for Poppers {
    fn acknowledged(&self) -> u64 {
        // A byte for ten.
        std::fs::metadata(self.signals.join("progress")).map_or(0, |progress| 10 * progress.len())
    }

    fn check_alive(&mut self) -> Result<()> {
        let has_ended = match &mut self.program {
            Some(program) => program.has_ended()?,
            None => true,
        };
        if has_ended && let Some(program) = self.program.take() {
            // It says why.
            program.finish()?;
        }
        ensure!(!has_ended, "the client program ended early");
        Ok(())
    }
}

/// The producers, in a process of their own.
struct Witness {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<JoinHandle<Option<String>>>,
    acknowledged: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Witness {
    fn start(ledger: &Path, ports: Ports, folder: &Path, seed: u64) -> Result<Self> {
        let mut child = Command::new(ledger)
            .args(["produce", "--namesrv", &ports.namesrv_addr(), "--topic", TOPIC])
            .args(["--seed", &(seed >> 1).to_string(), "--file"])
            .arg(folder.join("ledger.bin"))
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("starting the ledger program")?;
        let input = child.stdin.take();
        let out = child.stdout.take().context("no output")?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let (counter, end) = (Arc::clone(&acknowledged), Arc::clone(&ended));
        let output = std::thread::spawn(move || {
            let mut summary = None;
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(count) = line.strip_prefix("acknowledged ") {
                    counter.store(count.parse().unwrap_or(0), Ordering::Relaxed);
                } else if let Some(text) = line.strip_prefix("summary ") {
                    summary = Some(text.to_owned());
                }
            }
            end.store(true, Ordering::Relaxed);
            summary
        });
        Ok(Self {
            child,
            input,
            output: Some(output),
            acknowledged,
            ended,
        })
    }

    /// The client library would wait for its timeout; the witness gives up what was in flight at once.
    fn tell_of_kill(&mut self) -> Result<()> {
        self.input
            .as_mut()
            .context("no input")?
            .write_all(b"killed\n")
            .context("telling of a kill")
    }

    /// Lets the producers finish what they have begun, and returns what they counted.
    fn finish(mut self) -> Result<String> {
        drop(self.input.take());
        wait_until("the producers finish", SETTLE_LIMIT, || {
            Ok(self.ended.load(Ordering::Relaxed))
        })?;
        let status = self.child.wait()?;
        let output = self.output.take().context("no output")?;
        let summary = output.join().ok().flatten();
        ensure!(
            status.success(),
            "the ledger program ended with {status}: {summary:?}"
        );
        summary.context("the ledger program said nothing in the end")
    }
}

impl Watched for Witness {
    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    fn check_alive(&mut self) -> Result<()> {
        ensure!(
            !self.ended.load(Ordering::Relaxed),
            "the ledger program ended early"
        );
        Ok(())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
