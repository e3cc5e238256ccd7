//! Appends of 1 KiB messages to the engine alone, durable and relaxed: the time of one with so many in flight, on the disk under
//! `target`.
//!
//! One thread encodes and appends whenever fewer than so many are in flight; the engine's writer completes them. The limit is the
//! disk alone, told to write groups of the size that the engine has written: past the page cache and durable, or into the page cache.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::appends::Appends;
use kourou_benches::in_turn::Shares;
use kourou_benches::observed::{Groups, Observed};
use kourou_benches::raw_disk::{RawFile, blocks};
use kourou_benches::suite;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{AlignedBuf, StdDisk, WriterKind};
use kourou_engine::record::RecordDraft;
use kourou_engine::{Engine, Flush, NoView, Options};

const BODY: [u8; 1024] = [7; 1024];
/// Messages of one turn, when the engine and the disk are taken in turn.
const MESSAGES_IN_TURN: u64 = 2_000;
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

/// The suite, and lines about the engine and the disk taken in turn.
pub(crate) fn appends(criterion: &mut Criterion) -> Vec<String> {
    let mut lines = Vec::new();
    for flush in [Flush::Durable, Flush::Relaxed] {
        let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
        let (engine, groups) = open(dir.path(), flush);
        let name = format!("append/{flush:?}").to_lowercase();
        let mut group = criterion.benchmark_group(&name);
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
            if count == 0 {
                continue;
            }
            let mut disk = GroupsAlone::new(
                dir.path(),
                flush,
                messages as f64 / count as f64,
                size_bytes / count,
            );
            let limit = BenchmarkId::new(format!("{}{}", suite::LIMIT, disk.what), in_flight);
            group.bench_function(limit, |bencher| bencher.iter_custom(|count| disk.write(count)));
            if messages > MESSAGES_IN_TURN {
                let engine = || closed_loop(&engine, &mut appends, MESSAGES_IN_TURN);
                let shares = Shares::measure(engine, || disk.write(MESSAGES_IN_TURN));
                let GroupsAlone { messages, bytes, .. } = &disk;
                lines.push(format!(
                    "{name}: engine [{in_flight}] {shares}   groups of {messages:.1} messages, {} KiB",
                    bytes.len() >> 10
                ));
            }
        }
        group.finish();
        engine.close().expect("a clean close");
    }
    lines
}

/// The disk alone, told to write groups like those of the engine.
struct GroupsAlone {
    file: RawFile,
    what: &'static str,
    messages: f64,
    bytes: AlignedBuf,
}

impl GroupsAlone {
    fn new(dir: &Path, flush: Flush, messages: f64, size_bytes: u64) -> Self {
        let (file, what) = match flush {
            Flush::Durable => (
                RawFile::durable(dir, RAW_SIZE_BYTES),
                "durable writes of the same groups",
            ),
            Flush::Relaxed => (
                RawFile::cached(dir, RAW_SIZE_BYTES),
                "page cache writes of the same groups",
            ),
        };
        Self {
            file: file.expect("a file of zeros"),
            what,
            messages,
            bytes: blocks(size_bytes as usize),
        }
    }

    /// How long groups of so many messages take.
    fn write(&mut self, messages: u64) -> Duration {
        let groups = (messages as f64 / self.messages).ceil().max(1.0);
        let started = Instant::now();
        for _ in 0..groups as u64 {
            self.file.write(&self.bytes).expect("a write");
        }
        started
            .elapsed()
            .mul_f64(messages as f64 / (groups * self.messages))
    }
}
