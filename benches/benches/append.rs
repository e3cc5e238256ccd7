//! Appends of 1 KiB messages: how many a second with so many in flight, durable and relaxed, on the disk under `target`.
//! Beside them the disk alone: durable writes of the size that a group of so many has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{AlignedBuf, Disk, Durability, OpenMode, StdDisk, WriterKind};
use kourou_engine::record::RecordDraft;
use kourou_engine::{Engine, Flush, NoView, Options};

const BODY: [u8; 1024] = [7; 1024];

fn open(flush: Flush) -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target");
    let disk = Arc::new(StdDisk::new(dir.path(), WriterKind::Auto));
    let options = Options {
        flush,
        ..Options::new(dir.path())
    };
    let engine = Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView)).expect("a store");
    (dir, engine)
}

/// Appends `count` records, `in_flight` of them at a time: each completion appends the next.
fn closed_loop(engine: &Engine, count: u64, in_flight: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(count));
    let (finished, all_done) = sync_channel(1);
    let finished = Arc::new(Mutex::new((0, finished)));
    let started = Instant::now();
    for _ in 0..in_flight.min(count) {
        next(engine.clone(), &left, &finished, count);
    }
    all_done.recv().expect("the loop ends");
    started.elapsed()
}

type Finished = Arc<Mutex<(u64, std::sync::mpsc::SyncSender<()>)>>;

fn next(engine: Engine, left: &Arc<AtomicU64>, finished: &Finished, count: u64) {
    if left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_err()
    {
        return;
    }
    let (left, finished) = (Arc::clone(left), Arc::clone(finished));
    let again = engine.clone();
    let record = RecordDraft::new("bench", 0, &BODY).encode().expect("a record");
    engine.append(record, move |outcome| {
        outcome.expect("an append");
        let mut done = finished.lock().expect("nobody panics");
        done.0 += 1;
        if done.0 == count {
            done.1.send(()).expect("somebody waits");
        }
        drop(done);
        next(again, &left, &finished, count);
    });
}

fn appends(criterion: &mut Criterion) {
    for flush in [Flush::Durable, Flush::Relaxed] {
        let (_dir, engine) = open(flush);
        let mut group = criterion.benchmark_group(format!("append/{flush:?}"));
        group.throughput(Throughput::Elements(1));
        for in_flight in [1, 16, 64, 512] {
            group.bench_with_input(
                BenchmarkId::from_parameter(in_flight),
                &in_flight,
                |bencher, in_flight| {
                    bencher.iter_custom(|count| closed_loop(&engine, count, *in_flight));
                },
            );
        }
        group.finish();
        engine.close().expect("a clean close");
    }
}

fn disk_alone(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target");
    let disk = StdDisk::new(dir.path(), WriterKind::Auto);
    let file = disk
        .open(&dir.path().join("written"), OpenMode::CreateNew)
        .expect("a file");
    let size = 64_u64 << 20;
    file.write_at(&vec![0; 64 << 20], 0).expect("zeros");
    file.sync().expect("a sync");
    let mut writer = disk.group_writer(Durability::Durable).expect("a writer");
    let mut group = criterion.benchmark_group("disk/durable write");
    for kib in [4, 20, 76, 600] {
        group.throughput(Throughput::Bytes(kib << 10));
        let mut position = 0;
        let mut buffer = Some(AlignedBuf::with_capacity(600 << 10));
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{kib} KiB")),
            &kib,
            |bencher, kib| {
                bencher.iter(|| {
                    let mut bytes = buffer.take().expect("the buffer came back");
                    bytes.clear();
                    bytes.extend_from_slice(&vec![1; (*kib << 10) as usize]);
                    writer.start(&file, position, bytes);
                    let (bytes, outcome) = writer.finish();
                    outcome.expect("a write");
                    buffer = Some(bytes);
                    position = (position + (kib << 10)) % (size - (1 << 20));
                    position -= position % 4096;
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, appends, disk_alone);
criterion_main!(benches);
