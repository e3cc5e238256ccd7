//! The stores that are measured, and how they are filled.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kourou_benches::appends::Appends;
use kourou_benches::observed::{Groups, Observed};
use kourou_benches::served::Outcome;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{EncodedRecords, Limits, RecordDraft};
use kourou_engine::{Engine, NoView, Options};

pub(crate) const BODY: [u8; 1024] = [7; 1024];
pub(crate) const TOPIC: &str = "scale";
/// Queues of one topic, where there are many.
const QUEUES_PER_TOPIC: u64 = 8;
/// Messages of one pull.
pub(crate) const PULL: usize = 32;

/// Opens a store as a broker does.
pub(crate) fn open(dir: &Path) -> Outcome<Engine> {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    Ok(Engine::open(
        Options::new(dir),
        disk,
        Arc::new(SystemClock),
        Arc::new(NoView),
    )?)
}

/// The same, and what groups it writes.
pub(crate) fn open_observed(dir: &Path) -> Outcome<(Engine, Arc<Groups>)> {
    let disk = Observed::new(StdDisk::new(dir, WriterKind::Auto));
    let groups = disk.groups();
    let engine = Engine::open(
        Options::new(dir),
        Arc::new(disk),
        Arc::new(SystemClock),
        Arc::new(NoView),
    )?;
    Ok((engine, groups))
}

/// Numbers without order, the same in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The name of one queue of many.
pub(crate) fn name_of(queue: u64, topic: &mut String) -> u32 {
    use std::fmt::Write;
    topic.clear();
    // Writing into a string does not fail.
    let _ = write!(topic, "topic-{}", queue / QUEUES_PER_TOPIC);
    (queue % QUEUES_PER_TOPIC) as u32
}

/// Appends `count` messages of 1 KiB to queues out of `queues`, in no order.
pub(crate) fn append_to_any(
    engine: &Engine,
    appends: &mut Appends,
    random: &mut Random,
    queues: u64,
    count: u64,
) -> Duration {
    let mut topic = String::new();
    let started = Instant::now();
    for _ in 0..count {
        let queue_id = name_of(random.below(queues), &mut topic);
        appends.append(engine, &RecordDraft::new(&topic, queue_id, &BODY));
    }
    appends.finish();
    started.elapsed()
}

/// Stores one message without a body in each of so many queues.
pub(crate) fn make_known(engine: &Engine, queues: u64) -> Outcome<()> {
    let mut topic = String::new();
    let mut next = 0;
    while next < queues {
        let mut records = EncodedRecords::new();
        let end = queues.min(next + 1000);
        for queue in next..end {
            let queue_id = name_of(queue, &mut topic);
            records.push(&RecordDraft::new(&topic, queue_id, b""), &Limits::default())?;
        }
        let (done, outcome) = std::sync::mpsc::channel();
        engine.append_batch(records, move |stored| {
            let _sent = done.send(stored.map(drop));
        });
        outcome.recv()??;
        next = end;
    }
    Ok(())
}

/// Fills one queue until the log is so long.
pub(crate) fn fill(engine: &Engine, size_bytes: u64) {
    let mut appends = Appends::new(512);
    let draft = RecordDraft::new(TOPIC, 0, &BODY);
    while engine.watermark() < size_bytes {
        for _ in 0..1000 {
            appends.append(engine, &draft);
        }
    }
    appends.finish();
}

/// A line of this process's status, in bytes: `VmRSS`, `RssAnon`.
pub(crate) fn memory_bytes(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

pub(crate) fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    f64::midpoint(values[(values.len() - 1) / 2], values[half])
}

/// What of them lies at this part of their order.
pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}
