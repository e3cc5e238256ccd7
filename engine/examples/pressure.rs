//! What an append waits for while the log is busy with other things: appends at a fixed rate to a log of small segments, with
//! latency from the moment at which each should have been sent.
//!
//! ```sh
//! cargo run --release -p kourou-engine --example pressure -- rate=20000 seconds=10 segment_mib=16 queues=100000 drain=1 writer=uring
//! ```
//!
//! `queues` are made known first, so that checkpoints have something to hold; `drain` reads the log from its beginning
//! meanwhile, again and again, past the memory that holds its end. A line each for all appends, for those that were on their way
//! when a segment ended or within 20 ms of it (the index of the old one is written then, and a checkpoint), and for the others.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{EncodedRecords, Limits, RecordDraft};
use kourou_engine::{AppendDone, AppendError, Appended, Engine, NoView, Options};

const BODY: [u8; 1024] = [7; 1024];
const NEAR_A_ROLL: Duration = Duration::from_millis(20);
/// Queues that take the appends that are measured.
const BUSY_QUEUES: u64 = 16;

struct Settings(BTreeMap<String, String>);

impl Settings {
    fn from_args() -> Self {
        let pairs = std::env::args().skip(1);
        Self(
            pairs
                .filter_map(|arg| {
                    let (name, value) = arg.split_once('=')?;
                    Some((name.to_owned(), value.to_owned()))
                })
                .collect(),
        )
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, Box<dyn Error>> {
        match self.0.get(name) {
            Some(value) => Ok(value.parse()?),
            None => Ok(default),
        }
    }

    fn dir(&self) -> PathBuf {
        self.0
            .get("dir")
            .map_or_else(|| PathBuf::from("target"), PathBuf::from)
    }
}

/// One append on its way: when it should have been sent, and the box to send the next one in.
struct Sent {
    due: Instant,
    shared: Arc<Shared>,
    back: Sender<(Box<Self>, EncodedRecords)>,
}

struct Shared {
    segment_size_bytes: u64,
    /// When each append should have been sent, and how long it took from then.
    latencies: Mutex<Vec<(Instant, Duration)>>,
    /// When the log was first seen in each segment.
    rolls: Mutex<Vec<(u64, Instant)>>,
    failed: AtomicU64,
}

impl AppendDone for Sent {
    fn done(self: Box<Self>, outcome: Result<&[Appended], AppendError>, records: EncodedRecords) {
        let now = Instant::now();
        match outcome {
            Ok([appended, ..]) => {
                let segment = appended.position / self.shared.segment_size_bytes;
                let mut rolls = lock(&self.shared.rolls);
                if rolls.last().is_none_or(|(last, _)| *last < segment) {
                    rolls.push((segment, now));
                }
                lock(&self.shared.latencies).push((self.due, now.saturating_duration_since(self.due)));
            }
            _ => {
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let back = self.back.clone();
        // Nobody takes it any more at the end.
        let _sent = back.send((self, records));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_args();
    let rate = settings.number("rate", 20_000)?;
    let seconds = settings.number("seconds", 10)?;
    let segment_mib = settings.number("segment_mib", 16)?;
    let queues = settings.number("queues", 0)?;
    let drains = settings.number("drain", 0)? > 0;

    std::fs::create_dir_all(settings.dir())?;
    let dir = tempfile::tempdir_in(settings.dir())?;
    let options = Options {
        segment_size_bytes: segment_mib << 20,
        ..Options::new(dir.path())
    };
    let segment_size_bytes = options.segment_size_bytes;
    let writer = match settings.0.get("writer").map(String::as_str) {
        Some("uring") => WriterKind::Uring,
        _ => WriterKind::Auto,
    };
    let disk = Arc::new(StdDisk::new(dir.path(), writer));
    let engine = Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView))?;
    println!("{}; {queues} queues", engine.writes_how());
    make_known(&engine, queues)?;

    let shared = Arc::new(Shared {
        segment_size_bytes,
        latencies: Mutex::default(),
        rolls: Mutex::default(),
        failed: AtomicU64::new(0),
    });
    let over = AtomicBool::new(false);
    let cpu_before = cpu_time();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let drain = drains.then(|| scope.spawn(|| drain(&engine, &over)));
        let outcome = append_at(&engine, &shared, rate, rate * seconds);
        over.store(true, Ordering::Relaxed);
        if let Some(drained) = drain.and_then(|drain| drain.join().ok()) {
            println!("meanwhile {drained} records were read from the beginning");
        }
        outcome
    })?;
    let elapsed = started.elapsed();
    let cpu = cpu_time() - cpu_before;
    report(&shared, elapsed, cpu);
    engine.close()?;
    Ok(())
}

fn make_known(engine: &Engine, queues: u64) -> Result<(), Box<dyn Error>> {
    let (done, all_done) = channel();
    let mut left = queues;
    while left > 0 {
        let count = left.min(1000);
        let mut records = EncodedRecords::new();
        for at in left - count..left {
            let topic = format!("topic-{}", at / 8);
            records.push(
                &RecordDraft::new(&topic, (at % 8) as u32, b""),
                &Limits::default(),
            )?;
        }
        let done = done.clone();
        engine.append_batch(records, move |outcome| {
            let _sent = done.send(outcome.map(|_| ()));
        });
        all_done.recv()??;
        left -= count;
    }
    Ok(())
}

/// Appends `count` records of 1 KiB, each at its time.
fn append_at(engine: &Engine, shared: &Arc<Shared>, rate: u64, count: u64) -> Result<(), String> {
    let (back, given_back) = channel();
    let fresh = || Sent {
        due: Instant::now(),
        shared: Arc::clone(shared),
        back: back.clone(),
    };
    let started = Instant::now();
    for number in 0..count {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / rate);
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        let (mut sent, mut records) = given_back
            .try_recv()
            .unwrap_or_else(|_| (Box::new(fresh()), EncodedRecords::new()));
        sent.due = due;
        let draft = RecordDraft::new("measured", (number % BUSY_QUEUES) as u32, &BODY);
        records
            .push(&draft, &Limits::default())
            .map_err(|error| error.to_string())?;
        engine.append_with(records, sent);
    }
    wait_for_all(shared, &given_back, count);
    Ok(())
}

fn wait_for_all(shared: &Shared, given_back: &Receiver<(Box<Sent>, EncodedRecords)>, count: u64) {
    loop {
        let done = lock(&shared.latencies).len() as u64 + shared.failed.load(Ordering::Relaxed);
        if done >= count
            || given_back.recv_timeout(Duration::from_secs(5)).is_err() && lock(&shared.latencies).is_empty()
        {
            return;
        }
    }
}

/// Reads records from the beginning of the busy queues, again and again. Returns how many.
fn drain(engine: &Engine, over: &AtomicBool) -> u64 {
    let mut read = 0;
    let mut entries = Vec::new();
    while !over.load(Ordering::Relaxed) {
        for queue in 0..BUSY_QUEUES as u32 {
            let mut from = 0;
            loop {
                entries.clear();
                engine.entries("measured", queue, from, 32, &mut entries);
                if entries.is_empty() || over.load(Ordering::Relaxed) {
                    break;
                }
                for entry in &entries {
                    read += u64::from(engine.read(entry.position, entry.size_bytes).is_ok());
                }
                from += entries.len() as u64;
            }
        }
    }
    read
}

fn report(shared: &Shared, elapsed: Duration, cpu: Duration) {
    let latencies = lock(&shared.latencies);
    let rolls = lock(&shared.rolls);
    let rolls: Vec<Instant> = rolls.iter().skip(1).map(|(_, at)| *at).collect();
    let near = |(due, took): &&(Instant, Duration)| {
        let next = rolls.partition_point(|roll| *roll + NEAR_A_ROLL < *due);
        rolls.get(next).is_some_and(|roll| *roll <= *due + *took)
    };
    let failed = shared.failed.load(Ordering::Relaxed);
    println!(
        "{} appends in {:.2} s, {failed} failed, {} rolls, {:.2} us of CPU each, generator included",
        latencies.len(),
        elapsed.as_secs_f64(),
        rolls.len(),
        cpu.as_secs_f64() * 1e6 / latencies.len().max(1) as f64,
    );
    let of = |wanted: &dyn Fn(&&(Instant, Duration)) -> bool| -> Vec<Duration> {
        latencies.iter().filter(wanted).map(|(_, took)| *took).collect()
    };
    print_line("all", of(&|_| true));
    print_line("near a roll", of(&near));
    print_line("elsewhere", of(&|one| !near(one)));
}

fn print_line(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let Some(last) = latencies.len().checked_sub(1) else {
        return;
    };
    let at = |part: f64| latencies[(last as f64 * part) as usize].as_secs_f64() * 1e3;
    let within = latencies.partition_point(|took| *took <= Duration::from_millis(1));
    println!(
        "{what:12} {:8} appends: p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3} ms, {:.2} % within 1 ms",
        latencies.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0),
        within as f64 * 100.0 / latencies.len() as f64,
    );
}

/// CPU time of this process so far, by `/proc`; in clock ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
