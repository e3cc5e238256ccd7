//! Sequential reads: of what is in memory, beside a copy of as many bytes, and from the disk, beside the disk's own rate.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kourou_benches::raw_disk::drop_cache;
use kourou_benches::served::Outcome;
use kourou_engine::{Engine, IndexEntry};

use crate::Run;
use crate::store::{PULL, TOPIC, fill, median, open};

/// Read at a time by the disk's own sequential reader, which the kernel reads ahead for.
const RAW_READ_BYTES: usize = 1 << 20;
const TURNS: usize = 5;

pub(crate) fn hot(run: &mut Run) -> Outcome<()> {
    let dir = run.folder()?;
    let engine = open(dir.path())?;
    // Less than the tail cache holds.
    fill(&engine, 24 << 20);
    let mut reader = Reader::default();
    let (mut rates, mut copies, mut crcs) = (Vec::new(), Vec::new(), Vec::new());
    let passes = run.sized(40, 2);
    let bytes = vec![7; 24 << 20];
    let mut copy = vec![0; bytes.len()];
    for _ in 0..TURNS {
        let started = Instant::now();
        let mut size_bytes = 0;
        for _ in 0..passes {
            size_bytes += reader.read_hot(&engine)?;
        }
        rates.push(size_bytes as f64 / started.elapsed().as_secs_f64() / 1e9);
        let started = Instant::now();
        copy.copy_from_slice(black_box(&bytes));
        black_box(&copy);
        copies.push(bytes.len() as f64 / started.elapsed().as_secs_f64() / 1e9);
        let started = Instant::now();
        black_box(crc32fast::hash(black_box(&bytes)));
        crcs.push(bytes.len() as f64 / started.elapsed().as_secs_f64() / 1e9);
    }
    // The same memory each time: what is handed out is what was written, and no copy of it.
    let mut again = Reader::default();
    again.read_hot(&engine)?;
    let is_same = reader.first_at == again.first_at && reader.first_at.is_some();
    engine.close()?;
    let rate = median(&mut rates);
    run.bar(
        "hot sequential read",
        rate >= 5.0 && is_same,
        &format!(
            "{rate:.1} GB/s handed out, {} copies; a copy of as many bytes makes {:.1} GB/s, a CRC-32 {:.1} GB/s",
            if is_same { "0" } else { "some" },
            median(&mut copies),
            median(&mut crcs)
        ),
        "5 GB/s, 0 copies",
    );
    Ok(())
}

pub(crate) fn cold(run: &mut Run) -> Outcome<()> {
    let size_bytes = run.sized(2 << 30, 512 << 20);
    let dir = run.folder()?;
    let engine = open(dir.path())?;
    fill(&engine, size_bytes);
    engine.close()?;
    drop(engine);
    let (mut ours, mut disks, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        drop_cache(dir.path())?;
        let (read_bytes, took) = read_files(dir.path())?;
        let disk = read_bytes as f64 / took.as_secs_f64() / 1e9;
        drop_cache(dir.path())?;
        let engine = open(dir.path())?;
        let mut reader = Reader::default();
        let started = Instant::now();
        let read_bytes = reader.read_all(&engine)?;
        let own = read_bytes as f64 / started.elapsed().as_secs_f64() / 1e9;
        engine.close()?;
        ours.push(own);
        disks.push(disk);
        shares.push(own / disk * 100.0);
    }
    let (own, disk, share) = (median(&mut ours), median(&mut disks), median(&mut shares));
    run.bar(
        "cold sequential read, verified",
        share >= 80.0,
        &format!(
            "{own:.2} GB/s; the disk's own sequential read {disk:.2} GB/s: {share:.0} %, {:.0} to {:.0} %",
            shares[0],
            shares[TURNS - 1]
        ),
        "80 %",
    );
    Ok(())
}

/// The log's files, read in order by nobody but the operating system.
fn read_files(dir: &Path) -> Outcome<(u64, Duration)> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir.join("log"))? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut buffer = vec![0; RAW_READ_BYTES];
    let mut read_bytes = 0;
    let started = Instant::now();
    for path in paths {
        let file = File::open(path)?;
        let mut at = 0;
        loop {
            let count = file.read_at(&mut buffer, at)?;
            if count == 0 {
                break;
            }
            black_box(&buffer);
            at += count as u64;
        }
        read_bytes += at;
    }
    Ok((read_bytes, started.elapsed()))
}

/// Reads one queue as a consumer does that pulls one batch after the other.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) next: u64,
    entries: Vec<IndexEntry>,
    records: Vec<Bytes>,
    /// Where in memory the first record was.
    first_at: Option<usize>,
}

impl Reader {
    /// Everything in the queue, which is in memory. Returns how many bytes were handed out.
    fn read_hot(&mut self, engine: &Engine) -> Outcome<u64> {
        let mut size_bytes = 0;
        self.next = 0;
        loop {
            self.entries.clear();
            engine.entries(TOPIC, 0, self.next, PULL, &mut self.entries);
            if self.entries.is_empty() {
                return Ok(size_bytes);
            }
            for entry in &self.entries {
                let record = engine.read_hot(entry.position, entry.size_bytes);
                let record = record.ok_or("a record is not in memory")?;
                size_bytes += record.len() as u64;
                if entry.queue_offset == 0 {
                    self.first_at = Some(record.as_ptr().addr());
                }
                black_box(&record);
            }
            self.next += self.entries.len() as u64;
        }
    }

    /// The next batch, wherever it is. Returns how many bytes; 0 at the end.
    pub(crate) fn pull(&mut self, engine: &Engine) -> Outcome<u64> {
        self.entries.clear();
        engine.entries(TOPIC, 0, self.next, PULL, &mut self.entries);
        self.records.clear();
        engine.read_many(&self.entries, &mut self.records)?;
        self.next += self.entries.len() as u64;
        let size_bytes = self.records.iter().map(|record| record.len() as u64).sum();
        black_box(&self.records);
        Ok(size_bytes)
    }

    fn read_all(&mut self, engine: &Engine) -> Outcome<u64> {
        let mut size_bytes = 0;
        loop {
            match self.pull(engine)? {
                0 => return Ok(size_bytes),
                read => size_bytes += read,
            }
        }
    }
}
