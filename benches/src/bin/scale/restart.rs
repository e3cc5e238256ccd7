//! How long a store takes to come back: killed, and closed cleanly.
//!
//! Another process fills it, appends on and is killed. Then a new one opens it and appends, and says how long that took from its own
//! beginning until the record was acknowledged; with the store's files in the page cache, as after a kill, and without.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kourou_benches::appends::Appends;
use kourou_benches::raw_disk::drop_cache;
use kourou_benches::served::Outcome;
use kourou_engine::record::RecordDraft;

use crate::Run;
use crate::store::{BODY, Random, append_to_any, name_of, open};

const KILLED_MS_MAX: f64 = 1000.0;
const CLOSED_MS_MAX: f64 = 100.0;

pub(crate) fn measure(run: &mut Run) -> Outcome<()> {
    let size_bytes = run.sized(10 << 30, 1 << 30);
    let queues = run.sized(100_000, 20_000);
    let temporary = run.folder()?;
    let dir = run.store.clone().unwrap_or_else(|| temporary.path().to_owned());
    let dir = dir.as_path();
    kill_while_filling(dir, size_bytes, queues)?;
    // A kill leaves the page cache as it is.
    let killed = first_append(dir, queues, "kill")?;
    killed.bar(run, &format!("killed, {queues} queues"), KILLED_MS_MAX);
    kill_while_filling(dir, 0, queues)?;
    drop_cache(dir)?;
    first_append(dir, queues, "kill")?.tell("the same with nothing in the page cache");
    // That one was killed as well; this one closes.
    first_append(dir, queues, "close")?;
    let closed = first_append(dir, queues, "close")?;
    closed.bar(run, &format!("closed, {queues} queues"), CLOSED_MS_MAX);
    drop_cache(dir)?;
    first_append(dir, queues, "close")?.tell("the same with nothing in the page cache");
    Ok(())
}

/// What a new process said of its start.
struct Start {
    took_ms: f64,
    rest: String,
}

impl Start {
    /// Without a bar: it is the disk's time.
    fn tell(&self, what: &str) {
        println!(
            "       {what}: first append acknowledged after {:.0} ms ({})",
            self.took_ms, self.rest
        );
    }

    fn bar(&self, run: &mut Run, what: &str, bar_ms: f64) {
        run.bar(
            what,
            self.took_ms <= bar_ms,
            &format!(
                "first append acknowledged after {:.0} ms ({})",
                self.took_ms, self.rest
            ),
            &format!("{bar_ms:.0} ms"),
        );
    }
}

fn this_program() -> Outcome<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// Has the store filled by another process, which is killed in the middle of its appends.
fn kill_while_filling(dir: &Path, size_bytes: u64, queues: u64) -> Outcome<()> {
    let mut filling = this_program()?
        .arg("fill")
        .arg(dir)
        .args([size_bytes.to_string(), queues.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = filling.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.is_empty() {
        return Err("the store could not be filled".into());
    }
    // The killed process has some more groups on their way by then.
    std::thread::sleep(Duration::from_millis(50));
    filling.kill()?;
    filling.wait()?;
    Ok(())
}

fn first_append(dir: &Path, queues: u64, end: &str) -> Outcome<Start> {
    let output = this_program()?
        .arg("first-append")
        .arg(dir)
        .args([&queues.to_string(), end])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let (took_ms, rest) = text.trim().split_once(' ').ok_or_else(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("the store did not come back: {error}")
    })?;
    Ok(Start {
        took_ms: took_ms.parse()?,
        rest: rest.to_owned(),
    })
}

/// What the processes do that are started for this.
pub(crate) fn child(what: &str, dir: &Path, rest: &[String]) -> Outcome<()> {
    let number = |at: usize| -> Outcome<u64> { Ok(rest.get(at).ok_or("too few words")?.parse()?) };
    if what == "fill" {
        let (size_bytes, queues) = (number(0)?, number(1)?);
        let engine = open(dir)?;
        let mut appends = Appends::new(512);
        let mut random = Random::new(7);
        while engine.watermark() < size_bytes {
            append_to_any(&engine, &mut appends, &mut random, queues, 10_000);
        }
        // Somewhere in a segment, as a kill is: its checkpoint is about half a segment old.
        append_to_any(&engine, &mut appends, &mut random, queues, 100_000);
        println!("filled");
        // Until it is killed, by whoever started it or with it.
        let parent = std::os::unix::process::parent_id();
        while parent == std::os::unix::process::parent_id() {
            append_to_any(&engine, &mut appends, &mut random, queues, 10_000);
        }
        return Ok(());
    }
    let started = Instant::now();
    let queues = number(0)?;
    let engine = open(dir)?;
    let opened = started.elapsed();
    let mut topic = String::new();
    let queue_id = name_of(queues / 2, &mut topic);
    engine.append_blocking(RecordDraft::new(&topic, queue_id, &BODY).encode()?)?;
    let took = started.elapsed();
    let recovery = engine.recovery();
    println!(
        "{:.1} {:.1} GiB of log, open {:.1} ms, {} MiB of log read again, {} index files made again",
        took.as_secs_f64() * 1e3,
        (engine.watermark() - engine.first_position()) as f64 / f64::from(1 << 30),
        opened.as_secs_f64() * 1e3,
        recovery.replayed_bytes >> 20,
        recovery.rebuilt_indexes
    );
    if rest.get(1).is_some_and(|end| end == "close") {
        engine.close()?;
    } else {
        // As a kill: nothing is written any more.
        std::process::exit(0);
    }
    Ok(())
}
