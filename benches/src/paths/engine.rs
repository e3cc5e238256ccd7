//! Paths through the engine alone.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use kourou_engine::clock::SystemClock;
use kourou_engine::record::{EncodedRecords, Limits, RecordDraft, RecordView};
use kourou_engine::{Engine, NoView, Options, Threads};

use super::{BODY, Opened, Path};
use crate::appends::Appends;
use crate::memory_disk::MemoryDisk;
use crate::requests::{TAG, TOPIC, properties};

pub(super) const PATHS: [Path; 4] = [
    Path {
        name: "append/1",
        about: "the engine alone: one record of 1 KiB encoded and appended, one group",
        messages: 1,
        open: || append(1),
    },
    Path {
        name: "append/64",
        about: "the engine alone: 64 records of 1 KiB encoded and appended, one group",
        messages: 64,
        open: || append(64),
    },
    Path {
        name: "record/encode",
        about: "a record of 1 KiB encoded",
        messages: 1,
        open: encode,
    },
    Path {
        name: "record/verify",
        about: "a record of 1 KiB parsed and its checksums verified",
        messages: 1,
        open: verify,
    },
];

fn draft(properties: &str) -> RecordDraft<'_> {
    RecordDraft {
        properties: properties.as_bytes(),
        ..RecordDraft::new(TOPIC, 0, &BODY)
    }
}

fn append(count: usize) -> io::Result<Opened> {
    let options = Options {
        threads: Threads::Manual,
        tail_cache_size_bytes: 4 << 20,
        ..Options::new("/memory")
    };
    let disk = Arc::new(MemoryDisk::default());
    let engine = Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView));
    let engine = engine.map_err(io::Error::other)?;
    let properties = properties(TAG);
    let size_bytes = draft(&properties)
        .encode()
        .map_err(io::Error::other)?
        .size_bytes();
    let mut appends = Appends::new(count);
    Ok(Opened::new(size_bytes as usize * count, move || {
        for _ in 0..count {
            appends.append(&engine, &draft(&properties));
        }
        engine.pump();
        appends.finish();
        Ok(())
    }))
}

fn encode() -> io::Result<Opened> {
    let properties = properties(TAG);
    let size_bytes = draft(&properties)
        .encode()
        .map_err(io::Error::other)?
        .size_bytes();
    let mut records = EncodedRecords::new();
    Ok(Opened::new(size_bytes as usize, move || {
        records.clear();
        let pushed = records.push(&draft(black_box(&properties)), &Limits::default());
        pushed.map_err(io::Error::other)?;
        black_box(&records);
        Ok(())
    }))
}

fn verify() -> io::Result<Opened> {
    const POSITION: u64 = 1 << 33;
    let properties = properties(TAG);
    let record = draft(&properties).encode().map_err(io::Error::other)?;
    let mut stored = vec![0; record.size_bytes() as usize];
    record.write_into(&mut stored, 7, POSITION, 1_700_000_000_000);
    Ok(Opened::new(stored.len(), move || {
        let view = RecordView::parse(black_box(&stored)).map_err(io::Error::other)?;
        view.verify(POSITION).map_err(io::Error::other)
    }))
}
