//! Group commit alone: the engine's group writer on a real file, one group made durable at a time, without an engine around it. The
//! limit is the same write by the operating system's call.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::raw_disk::{RawFile, blocks};
use kourou_benches::suite;
use kourou_engine::disk::{
    AlignedBuf, Disk, DiskFile, Durability, GroupWriter, OpenMode, StdDisk, WriterKind,
};

const FILE_SIZE_BYTES: u64 = 64 << 20;

/// Writes groups one behind the other, round and round in a file that has been written once.
struct Groups {
    writer: Box<dyn GroupWriter>,
    file: Arc<dyn DiskFile>,
    position: u64,
    buffer: Option<AlignedBuf>,
}

impl Groups {
    fn commit(&mut self) {
        let bytes = self.buffer.take().expect("the writer gave it back");
        let size_bytes = bytes.len() as u64;
        if self.position + size_bytes > FILE_SIZE_BYTES {
            self.position = 0;
        }
        self.writer.start(&self.file, self.position, bytes);
        let (bytes, outcome) = self.writer.finish();
        outcome.expect("a write");
        self.buffer = Some(bytes);
        self.position += size_bytes;
    }
}

pub(crate) fn group_commit(criterion: &mut Criterion) {
    let dir = suite::folder(env!("CARGO_TARGET_TMPDIR"));
    let disk = StdDisk::new(dir.path(), WriterKind::Auto);
    let path = dir.path().join("groups");
    let file = disk.open(&path, OpenMode::CreateNew).expect("a file");
    file.write_at(&vec![0; FILE_SIZE_BYTES as usize], 0)
        .expect("zeros");
    file.sync().expect("a sync");
    let writer = disk.group_writer(Durability::Durable).expect("a writer");
    eprintln!("groups are written by {}", writer.describe());
    let mut groups = Groups {
        writer,
        file,
        position: 0,
        buffer: None,
    };
    let mut raw = RawFile::durable(dir.path(), FILE_SIZE_BYTES).expect("a file of zeros");

    let mut group = criterion.benchmark_group("group commit");
    for kib in [1, 16, 64, 512] {
        group.throughput(Throughput::Bytes(kib << 10));
        // Less than a block is written as a block.
        let bytes = blocks((kib << 10) as usize);
        groups.buffer = Some(blocks((kib << 10) as usize));
        let value = format!("{kib} KiB");
        group.bench_function(BenchmarkId::new("durable", &value), |bencher| {
            bencher.iter(|| groups.commit())
        });
        let limit = format!("{}pwrite, O_DIRECT and O_DSYNC", suite::LIMIT);
        group.bench_function(BenchmarkId::new(limit, &value), |bencher| {
            bencher.iter(|| raw.write(&bytes).expect("a write"));
        });
    }
    group.finish();
}
