//! Opening a store: after a kill, which reads the log since the last checkpoint again, and after a clean close.
//!
//! The limit of the first is a CRC-32 of as many bytes, which a recovery cannot do without; that of the second is to read the checkpoint,
//! and to check it.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::appends::Appends;
use kourou_benches::suite;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{EncodedRecords, Limits, RecordDraft};
use kourou_engine::{Engine, NoView, Options};

const BODY: [u8; 1024] = [7; 1024];
/// Messages since the checkpoint, which each open writes.
const REPLAYED: u64 = 4_000;
const QUEUES: u32 = 10_000;

fn open(dir: &Path) -> Engine {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    Engine::open(Options::new(dir), disk, Arc::new(SystemClock), Arc::new(NoView)).expect("a store")
}

pub(crate) fn recovery(criterion: &mut Criterion) {
    let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
    let mut engine = Some(open(dir.path()));
    let draft = RecordDraft::new("bench", 0, &BODY);
    let size_bytes = REPLAYED * u64::from(draft.encode().expect("a record").size_bytes());
    let mut appends = Appends::new(512);
    let mut killed = || {
        let before = engine.take().expect("an open store");
        for _ in 0..REPLAYED {
            appends.append(&before, &draft);
        }
        appends.finish();
        // Not closed: as a kill leaves it.
        drop(before);
        let started = Instant::now();
        engine = Some(open(dir.path()));
        started.elapsed()
    };
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Bytes(size_bytes));
    group.bench_function(BenchmarkId::new("open", "after a kill"), |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| killed()).sum());
    });
    let bytes = vec![7; size_bytes as usize];
    let limit = format!("{}CRC-32 of what is read again", suite::LIMIT);
    group.bench_function(BenchmarkId::new(limit, "after a kill"), |bencher| {
        bencher.iter(|| crc32fast::hash(black_box(&bytes)));
    });
    drop(engine);

    let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
    fill_queues(dir.path());
    group.throughput(Throughput::Elements(u64::from(QUEUES)));
    let value = "after a clean close, 10,000 queues";
    group.bench_function(BenchmarkId::new("open", value), |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| clean(dir.path())).sum());
    });
    let limit = format!("{}the checkpoint, read and checked", suite::LIMIT);
    let checkpoint = |name: &str| fs::read(dir.path().join(name)).unwrap_or_default();
    group.bench_function(BenchmarkId::new(limit, value), |bencher| {
        bencher.iter(|| {
            let both = ["checkpoint.0", "checkpoint.1"].map(checkpoint);
            both.map(|bytes| crc32fast::hash(&bytes))
        });
    });
    group.finish();
}

fn fill_queues(dir: &Path) {
    let engine = open(dir);
    for begin in (0..QUEUES).step_by(1_000) {
        let mut records = EncodedRecords::new();
        for queue in begin..QUEUES.min(begin + 1_000) {
            let draft = RecordDraft::new("many", queue, b"one");
            records.push(&draft, &Limits::default()).expect("a record");
        }
        let (tell, told) = std::sync::mpsc::channel();
        engine.append_batch(records, move |stored| {
            let _ = tell.send(stored.map(drop));
        });
        told.recv().expect("an outcome").expect("a batch");
    }
    engine.close().expect("a clean close");
}

/// Opens and closes; how long the first took.
fn clean(dir: &Path) -> Duration {
    let started = Instant::now();
    let engine = open(dir);
    let took = started.elapsed();
    engine.close().expect("a clean close");
    took
}
