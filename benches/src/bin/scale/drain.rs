//! What producers feel of a consumer that comes late: durable sends at a fixed rate, with and without a backlog that drains from the disk.
//!
//! The backlog is many times what the tail cache holds and is read once, so that the page cache, which it is dropped from before, is of no
//! help: each record comes from the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use kourou_benches::raw_disk::drop_cache;
use kourou_benches::served::Outcome;
use kourou_engine::Engine;
use kourou_engine::record::RecordDraft;

use crate::Run;
use crate::reads::Reader;
use crate::store::{BODY, fill, median, open, quantile};

const RATE: u64 = 5_000;
const TURNS: usize = 5;
/// Of another topic than the backlog.
const SENT_TO: &str = "sent";

pub(crate) fn measure(run: &mut Run) -> Outcome<()> {
    let backlog_bytes = run.sized(6 << 30, 512 << 20);
    let seconds = run.sized(3, 1);
    let dir = run.folder()?;
    let engine = open(dir.path())?;
    fill(&engine, backlog_bytes);
    engine.close()?;
    drop(engine);
    let (mut calm, mut draining, mut drained, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let without = turn(dir.path(), seconds, false)?;
        let with = turn(dir.path(), seconds, true)?;
        calm.push(without.p99_us);
        draining.push(with.p99_us);
        drained.push(with.drained_bytes as f64 / with.drained_in.as_secs_f64() / 1e9);
        ratios.push(with.p99_us / without.p99_us);
    }
    let (without, with, ratio) = (median(&mut calm), median(&mut draining), median(&mut ratios));
    run.bar(
        &format!("{RATE} durable sends a second while a cold backlog drains"),
        ratio <= 2.0,
        &format!(
            "p99 {with:.0} us, {without:.0} us without: {ratio:.2} x ({:.2} to {:.2}); drained {:.2} GB/s meanwhile",
            ratios[0],
            ratios[TURNS - 1],
            median(&mut drained)
        ),
        "2 x at p99",
    );
    Ok(())
}

struct Turn {
    p99_us: f64,
    drained_bytes: u64,
    drained_in: Duration,
}

fn turn(dir: &Path, seconds: u64, drains: bool) -> Outcome<Turn> {
    drop_cache(dir)?;
    let engine = open(dir)?;
    let over = AtomicBool::new(false);
    let (mut times, drained) = std::thread::scope(|scope| {
        let drain = drains.then(|| scope.spawn(|| drain(&engine, &over)));
        let times = send(&engine, seconds);
        over.store(true, Ordering::Relaxed);
        let drained = drain.map(|drain| drain.join());
        (times, drained)
    });
    let (drained_bytes, drained_in) = match drained {
        Some(drained) => drained
            .map_err(|_| "the drain has panicked")?
            .map_err(|error| error.to_string())?,
        None => (0, Duration::from_secs(1)),
    };
    engine.close()?;
    Ok(Turn {
        p99_us: quantile(&mut times, 0.99).as_secs_f64() * 1e6,
        drained_bytes,
        drained_in,
    })
}

/// Sends at the rate; how long each took, from when it was due.
fn send(engine: &Engine, seconds: u64) -> Vec<Duration> {
    let (tell, told) = channel();
    let tell = Arc::new(tell);
    let draft = RecordDraft::new(SENT_TO, 0, &BODY);
    let count = RATE * seconds;
    let started = Instant::now();
    for number in 0..count {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / RATE);
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        let Ok(record) = draft.encode() else { break };
        let tell = Arc::clone(&tell);
        engine.append(record, move |outcome| {
            if outcome.is_ok() {
                let _sent = tell.send(due.elapsed());
            }
        });
    }
    drop(tell);
    told.iter().collect()
}

/// Reads the backlog; how much, and how long that took.
fn drain(engine: &Engine, over: &AtomicBool) -> Result<(u64, Duration), String> {
    let mut reader = Reader::default();
    let mut size_bytes = 0;
    let started = Instant::now();
    while !over.load(Ordering::Relaxed) {
        match reader.pull(engine).map_err(|error| error.to_string())? {
            0 => break,
            read => size_bytes += read,
        }
    }
    Ok((size_bytes, started.elapsed()))
}
