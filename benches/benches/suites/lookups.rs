//! Look-ups in the index of a log of many segments: an old offset of a queue, a moment, a key; of a queue that is in all segments, and of
//! one that is in few.
//!
//! The limit is the same question asked of a table in memory, which is what an index over files can come near to and no more.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::suite;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::{EncodedRecords, KeyKind, Limits, RecordDraft};
use kourou_engine::{Boundary, Engine, KeyQuery, NoView, Options};

const TOPIC: &str = "bench";
const SEGMENT_SIZE_BYTES: u64 = 256 << 10;
/// Enough to see whether a look-up asks each.
const SEGMENTS: u64 = 260;
const QUEUES: u32 = 500;
/// Of those that are in few segments. It takes a message in so many.
const RARE: u32 = QUEUES;
const RARE_EVERY: u64 = 20_000;

fn open(dir: &Path) -> Engine {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    let options = Options {
        segment_size_bytes: SEGMENT_SIZE_BYTES,
        ..Options::new(dir)
    };
    Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView)).expect("a store")
}

/// Fills the log; returns how many messages there are.
fn fill(engine: &Engine) -> u64 {
    let mut number = 0;
    while engine.watermark() < SEGMENTS * SEGMENT_SIZE_BYTES {
        let mut records = EncodedRecords::new();
        for _ in 0..500 {
            let is_rare = number % RARE_EVERY == 0;
            let queue_id = if is_rare { RARE } else { number as u32 % QUEUES };
            let properties = format!("KEYS\u{1}key-{number}\u{2}");
            let draft = RecordDraft {
                properties: properties.as_bytes(),
                ..RecordDraft::new(TOPIC, queue_id, b"what is looked for")
            };
            records.push(&draft, &Limits::default()).expect("a record");
            number += 1;
        }
        let (tell, told) = std::sync::mpsc::channel();
        engine.append_batch(records, move |stored| {
            let _ = tell.send(stored.map(drop));
        });
        told.recv().expect("an outcome").expect("a batch");
    }
    number
}

pub(crate) fn lookups(criterion: &mut Criterion) {
    let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
    let filled = open(dir.path());
    let messages = fill(&filled);
    // All is in files when the store was closed.
    filled.close().expect("a clean close");
    drop(filled);
    let engine = open(dir.path());

    let ends: HashMap<u32, u64> = (0..=QUEUES)
        .map(|queue| {
            (
                queue,
                engine.queue_range(TOPIC, queue).map_or(0, |range| range.max),
            )
        })
        .collect();
    let mut step = 0_u64;
    let mut number = |bound: u64| {
        step = step.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (step >> 20) % bound.max(1)
    };
    let table: BTreeMap<(u32, u64), u64> = ends
        .iter()
        .flat_map(|(queue, end)| (0..*end).map(|offset| ((*queue, offset), offset)))
        .collect();

    let mut group = criterion.benchmark_group("index/look-up");
    group.throughput(Throughput::Elements(1));
    let mut entries = Vec::new();
    for (what, queue) in [("a queue in all segments", 7), ("a queue in few", RARE)] {
        let end = ends[&queue];
        group.bench_function(BenchmarkId::new("offset", what), |bencher| {
            bencher.iter(|| {
                entries.clear();
                engine.entries(TOPIC, queue, number(end), 1, &mut entries);
                assert_eq!(entries.len(), 1);
            });
        });
        let limit = format!("{}an ordered table in memory", suite::LIMIT);
        group.bench_function(BenchmarkId::new(limit, what), |bencher| {
            bencher.iter(|| black_box(table.get(&(queue, number(end)))));
        });
    }
    entries.clear();
    engine.entries(TOPIC, 7, 0, 1, &mut entries);
    let begin_ms = entries[0].store_ms;
    group.bench_function("moment", |bencher| {
        bencher.iter(|| {
            let moment_ms = begin_ms + number(1_000) as i64;
            black_box(engine.offset_by_time(TOPIC, 7, moment_ms, Boundary::Lower))
        });
    });
    for (what, is_there) in [("one that is there", true), ("one that is not", false)] {
        group.bench_function(BenchmarkId::new("key", what), |bencher| {
            bencher.iter(|| {
                let key = format!("key-{}", number(messages) + if is_there { 0 } else { messages });
                let found = engine.find_by_key(&KeyQuery {
                    topic: TOPIC,
                    key: &key,
                    kind: KeyKind::Any,
                    begin_ms: 0,
                    end_ms: i64::MAX,
                    records_max: 1,
                    size_bytes_max: 1 << 20,
                    looks_max: 64,
                });
                assert_eq!(found.len(), usize::from(is_there));
            });
        });
    }
    group.finish();
    engine.close().expect("a clean close");
}
