//! Reads of 32 messages of 1 KiB, as a pull makes them: their entries from the index, then the records.
//!
//! Hot: slices of what was written. The limit is a copy of as many bytes; nothing is copied, so it may be passed. Cold: records of
//! old segments, on the disk alone, verified. The limit is the same bytes read from the segments' files in order, also from the disk.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::raw_disk::drop_cache;
use kourou_benches::suite;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::RecordDraft;
use kourou_engine::{Engine, IndexEntry, NoView, Options};

const BODY: [u8; 1024] = [7; 1024];
const TOPIC: &str = "bench";
/// Messages of one read.
const PULL: usize = 32;
const SEGMENT_SIZE_BYTES: u64 = 16 << 20;
/// Segments that are sealed before anything is read.
const SEGMENTS: u64 = 8;

fn open(dir: &Path) -> Engine {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    let options = Options {
        segment_size_bytes: SEGMENT_SIZE_BYTES,
        tail_cache_size_bytes: 4 << 20,
        ..Options::new(dir)
    };
    Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView)).expect("a store")
}

fn append(engine: &Engine, count: usize) {
    for _ in 0..count.div_ceil(PULL) {
        let record = || RecordDraft::new(TOPIC, 0, &BODY).encode().expect("a record");
        let (done, outcome) = std::sync::mpsc::channel();
        let records = (0..PULL).map(|_| record()).collect();
        engine.append_batch(records, move |stored| {
            let _ = done.send(stored.map(drop));
        });
        outcome.recv().expect("an outcome").expect("a batch");
    }
}

pub(crate) fn hot(criterion: &mut Criterion) {
    let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
    let engine = open(dir.path());
    append(&engine, 64);
    let mut entries = Vec::new();
    engine.entries(TOPIC, 0, 0, PULL, &mut entries);
    let size_bytes: usize = entries.iter().map(|entry| entry.size_bytes as usize).sum();

    let mut group = criterion.benchmark_group("read/hot");
    group.throughput(Throughput::Bytes(size_bytes as u64));
    group.bench_function(BenchmarkId::new("entries and slices", PULL), |bencher| {
        bencher.iter(|| {
            entries.clear();
            engine.entries(TOPIC, 0, black_box(0), PULL, &mut entries);
            for entry in &entries {
                let record = engine.read_hot(entry.position, entry.size_bytes);
                black_box(record.expect("a hot record"));
            }
        });
    });
    let bytes = vec![7; size_bytes];
    let mut copy = vec![0; size_bytes];
    group.bench_function(
        BenchmarkId::new(format!("{}copy of as many bytes", suite::LIMIT), PULL),
        |bencher| {
            bencher.iter(|| {
                copy.copy_from_slice(black_box(&bytes));
                black_box(&copy);
            });
        },
    );
    group.finish();
    engine.close().expect("a clean close");
}

/// A store whose sealed segments are on the disk and nowhere else, read from its first message on.
struct Cold {
    dir: PathBuf,
    engine: Option<Engine>,
    next: u64,
    end: u64,
    entries: Vec<IndexEntry>,
    records: Vec<Bytes>,
}

impl Cold {
    /// Closes the store, which gives its mappings back, drops the page cache, and opens it again.
    fn chill(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.close().expect("a clean close");
        }
        drop_cache(&self.dir).expect("a page cache that can be dropped");
        self.engine = Some(open(&self.dir));
        self.next = 0;
    }

    fn read(&mut self) -> Duration {
        if self.engine.is_none() || self.next + PULL as u64 > self.end {
            self.chill();
        }
        let engine = self.engine.as_ref().expect("an open store");
        let started = Instant::now();
        self.entries.clear();
        engine.entries(TOPIC, 0, self.next, PULL, &mut self.entries);
        self.records.clear();
        let read = engine.read_many(&self.entries, &mut self.records);
        read.expect("records");
        black_box(&self.records);
        self.next += PULL as u64;
        started.elapsed()
    }
}

/// The same files, read in order by nobody but the operating system.
struct Files {
    dir: PathBuf,
    segments: Vec<File>,
    buffer: Vec<u8>,
    position: u64,
}

impl Files {
    fn read(&mut self) -> Duration {
        let size_bytes = self.buffer.len() as u64;
        if self.segments.is_empty() || self.position + size_bytes > SEGMENTS * SEGMENT_SIZE_BYTES {
            drop_cache(&self.dir).expect("a page cache that can be dropped");
            self.segments = segments(&self.dir);
            self.position = 0;
        }
        let (at, inside) = (
            self.position / SEGMENT_SIZE_BYTES,
            self.position % SEGMENT_SIZE_BYTES,
        );
        // A read does not cross from one file to the next.
        let inside = inside.min(SEGMENT_SIZE_BYTES - size_bytes);
        let started = Instant::now();
        self.segments[at as usize]
            .read_exact_at(&mut self.buffer, inside)
            .expect("bytes of a segment");
        black_box(&self.buffer);
        self.position += size_bytes;
        started.elapsed()
    }
}

/// The sealed segments, in order.
fn segments(dir: &Path) -> Vec<File> {
    let log = dir.join("log");
    let entries = std::fs::read_dir(&log).expect("a log");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let sealed = paths.iter().take(SEGMENTS as usize);
    sealed.map(|path| File::open(path).expect("a segment")).collect()
}

pub(crate) fn cold(criterion: &mut Criterion) {
    let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
    let engine = open(dir.path());
    while engine.watermark() < SEGMENTS * SEGMENT_SIZE_BYTES {
        append(&engine, 1024);
    }
    let mut entries = Vec::new();
    engine.entries(TOPIC, 0, 0, PULL, &mut entries);
    let size_bytes: usize = entries.iter().map(|entry| entry.size_bytes as usize).sum();
    let end = SEGMENTS * SEGMENT_SIZE_BYTES / size_bytes as u64 * PULL as u64;
    let mut cold = Cold {
        dir: dir.path().to_owned(),
        engine: Some(engine),
        next: u64::MAX - PULL as u64,
        end: end - PULL as u64,
        entries,
        records: Vec::new(),
    };
    let mut files = Files {
        dir: dir.path().to_owned(),
        segments: Vec::new(),
        buffer: vec![0; size_bytes],
        position: 0,
    };

    let mut group = criterion.benchmark_group("read/cold");
    group.throughput(Throughput::Bytes(size_bytes as u64));
    group.bench_function(
        BenchmarkId::new("entries and records, verified", PULL),
        |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| cold.read()).sum());
        },
    );
    cold.engine.take().map(|engine| engine.close());
    group.bench_function(
        BenchmarkId::new(format!("{}reads of the same files in order", suite::LIMIT), PULL),
        |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| files.read()).sum());
        },
    );
    group.finish();
}
