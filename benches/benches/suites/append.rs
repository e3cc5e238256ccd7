//! Appends of 1 KiB messages to the engine alone, durable and relaxed: the time of one with so many in flight, on the disk under
//! `target`.
//!
//! One thread encodes and appends whenever fewer than so many are in flight; the engine's writer completes them. The limit is the
//! disk alone, told to write groups of the size that the engine has written: past the page cache and durable, or into the page cache.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use kourou_benches::appends::Appends;
use kourou_benches::observed::{Groups, Observed};
use kourou_benches::raw_disk::{RawFile, blocks};
use kourou_benches::suite;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::RecordDraft;
use kourou_engine::{Engine, Flush, NoView, Options};

const BODY: [u8; 1024] = [7; 1024];
const RAW_SIZE_BYTES: u64 = 64 << 20;

fn open(dir: &Path, flush: Flush) -> (Engine, Arc<Groups>) {
    let disk = Observed::new(StdDisk::new(dir, WriterKind::Auto));
    let groups = disk.groups();
    let options = Options {
        flush,
        ..Options::new(dir)
    };
    let engine = Engine::open(options, Arc::new(disk), Arc::new(SystemClock), Arc::new(NoView));
    (engine.expect("a store"), groups)
}

/// Appends `count` records, as many of them at a time as `appends` allows.
fn closed_loop(engine: &Engine, appends: &mut Appends, count: u64) -> Duration {
    let draft = RecordDraft::new("bench", 0, &BODY);
    let started = Instant::now();
    for _ in 0..count {
        appends.append(engine, &draft);
    }
    appends.finish();
    started.elapsed()
}

pub(crate) fn appends(criterion: &mut Criterion) {
    for flush in [Flush::Durable, Flush::Relaxed] {
        let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
        let (engine, groups) = open(dir.path(), flush);
        let mut group = criterion.benchmark_group(format!("append/{flush:?}").to_lowercase());
        group.throughput(Throughput::Elements(1));
        for in_flight in [1, 16, 64, 512] {
            let mut appends = Appends::new(in_flight as usize);
            let mut messages = 0;
            groups.take();
            group.bench_function(BenchmarkId::new("engine", in_flight), |bencher| {
                bencher.iter_custom(|count| {
                    messages += count;
                    closed_loop(&engine, &mut appends, count)
                });
            });
            let (count, size_bytes) = groups.take();
            if count > 0 {
                disk_alone(
                    &mut group,
                    dir.path(),
                    flush,
                    in_flight,
                    messages as f64 / count as f64,
                    size_bytes / count,
                );
            }
        }
        group.finish();
        engine.close().expect("a clean close");
    }
}

/// Writes of the size that the engine's groups had; the time is that of one message among so many.
fn disk_alone(
    group: &mut BenchmarkGroup<'_, WallTime>,
    dir: &Path,
    flush: Flush,
    in_flight: u64,
    messages: f64,
    size_bytes: u64,
) {
    let (mut file, name) = match flush {
        Flush::Durable => (
            RawFile::durable(dir, RAW_SIZE_BYTES),
            "durable writes of the same groups",
        ),
        Flush::Relaxed => (
            RawFile::cached(dir, RAW_SIZE_BYTES),
            "page cache writes of the same groups",
        ),
    };
    let file = file.as_mut().expect("a file of zeros");
    let bytes = blocks(size_bytes as usize);
    eprintln!(
        "append/{flush:?}: {in_flight} in flight make groups of {messages:.1} messages, {} bytes",
        bytes.len()
    );
    group.bench_function(
        BenchmarkId::new(format!("{}{name}", suite::LIMIT), in_flight),
        |bencher| {
            bencher.iter_custom(|count| {
                let writes = (count as f64 / messages).ceil().max(1.0);
                let started = Instant::now();
                for _ in 0..writes as u64 {
                    file.write(&bytes).expect("a write");
                }
                started.elapsed().mul_f64(count as f64 / (writes * messages))
            });
        },
    );
}
