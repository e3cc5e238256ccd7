//! Durable appends, alone and 512 at a time, beside the disk's own writes of the same groups.

use std::path::Path;
use std::time::{Duration, Instant};

use kourou_benches::appends::Appends;
use kourou_benches::raw_disk::{RawFile, blocks};
use kourou_benches::served::Outcome;
use kourou_engine::Engine;
use kourou_engine::disk::{AlignedBuf, BLOCK_SIZE_BYTES};
use kourou_engine::record::RecordDraft;

use crate::Run;
use crate::store::{BODY, TOPIC, median, open, open_observed, quantile, us};

const RAW_SIZE_BYTES: u64 = 64 << 20;
const TURNS: usize = 12;
/// In a group, before its records.
const MARK_SIZE_BYTES: u64 = 32;

pub(crate) fn measure(run: &mut Run) -> Outcome<()> {
    let dir = run.folder()?;
    alone(run, dir.path())?;
    let dir = run.folder()?;
    together(run, dir.path())
}

/// One thread appends and waits, by the public call, and the disk writes the same blocks, in turn.
fn alone(run: &mut Run, dir: &Path) -> Outcome<()> {
    let count = run.sized(500, 40);
    let engine = open(dir)?;
    let draft = RecordDraft::new(TOPIC, 0, &BODY);
    let size_bytes = MARK_SIZE_BYTES + u64::from(draft.encode()?.size_bytes());
    let mut disk = LoneWrites::new(dir, size_bytes)?;
    let (mut ours, mut disks) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let (mut engine_took, mut disk_took) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let record = draft.encode()?;
            let started = Instant::now();
            engine.append_blocking(record)?;
            engine_took.push(started.elapsed());
        }
        for _ in 0..count {
            disk_took.push(disk.write()?);
        }
        // The first one warms both up.
        if turn > 0 {
            ours.append(&mut engine_took);
            disks.append(&mut disk_took);
        }
    }
    engine.close()?;
    let (own, limit) = (quantile(&mut ours, 0.5), quantile(&mut disks, 0.5));
    let (own_p99, limit_p99) = (quantile(&mut ours, 0.99), quantile(&mut disks, 0.99));
    let ratio = us(own) / us(limit);
    run.bar(
        "durable append, 1 in flight",
        ratio <= 1.3,
        &format!(
            "p50 {:.1} us, p99 {:.0} us; the disk's own write of the same blocks p50 {:.1} us, p99 {:.0} us: {ratio:.2} x",
            us(own),
            us(own_p99),
            us(limit),
            us(limit_p99)
        ),
        "1.3 x at p50",
    );
    Ok(())
}

/// The disk alone, told to write what a log writes for lone appends: each with the block that the last one ended in.
struct LoneWrites {
    file: RawFile,
    tail: u64,
    size_bytes: u64,
    /// Of one, two and more blocks.
    groups: Vec<AlignedBuf>,
}

impl LoneWrites {
    fn new(dir: &Path, size_bytes: u64) -> Outcome<Self> {
        let most = size_bytes as usize / BLOCK_SIZE_BYTES + 2;
        Ok(Self {
            file: RawFile::durable(dir, RAW_SIZE_BYTES)?,
            tail: 0,
            size_bytes,
            groups: (1..=most).map(|count| blocks(count * BLOCK_SIZE_BYTES)).collect(),
        })
    }

    fn write(&mut self) -> Outcome<Duration> {
        let block = BLOCK_SIZE_BYTES as u64;
        if self.tail + self.size_bytes + block > RAW_SIZE_BYTES {
            self.tail = 0;
        }
        let start = self.tail / block * block;
        self.tail += self.size_bytes;
        let count = self.tail.div_ceil(block) - start / block;
        let group = &self.groups[count as usize - 1];
        let started = Instant::now();
        self.file.write_at(group, start)?;
        Ok(started.elapsed())
    }
}

/// One thread keeps 512 in flight; the disk is told to write groups of the size that came of it, in turn.
fn together(run: &mut Run, dir: &Path) -> Outcome<()> {
    let count = run.sized(100_000, 4_000);
    let (engine, groups) = open_observed(dir)?;
    let mut appends = Appends::new(512);
    // So that the groups have the size that they will have.
    closed_loop(&engine, &mut appends, count);
    let mut file = RawFile::durable(dir, RAW_SIZE_BYTES)?;
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    let mut group_bytes = 0;
    for _ in 0..TURNS {
        groups.take();
        let took = closed_loop(&engine, &mut appends, count);
        let (written, size_bytes) = groups.take();
        group_bytes = size_bytes / written.max(1);
        let group = blocks(group_bytes as usize);
        let started = Instant::now();
        for _ in 0..written {
            file.write(&group)?;
        }
        let disk_took = started.elapsed();
        rates.push(count as f64 / took.as_secs_f64());
        shares.push(disk_took.as_secs_f64() / took.as_secs_f64() * 100.0);
    }
    engine.close()?;
    let (rate, share) = (median(&mut rates), median(&mut shares));
    run.bar(
        "durable appends of 1 KiB, 512 in flight",
        share >= 60.0 || rate >= 1e6,
        &format!(
            "{rate:.0} a second at the median, {:.0} to {:.0}; {share:.0} % of the disk's rate for the same groups ({} KiB), {:.0} to {:.0} %",
            rates[0],
            rates[TURNS - 1],
            group_bytes >> 10,
            shares[0],
            shares[TURNS - 1]
        ),
        "60 % or 1,000,000 a second",
    );
    Ok(())
}

fn closed_loop(engine: &Engine, appends: &mut Appends, count: u64) -> Duration {
    let draft = RecordDraft::new(TOPIC, 0, &BODY);
    let started = Instant::now();
    for _ in 0..count {
        appends.append(engine, &draft);
    }
    appends.finish();
    started.elapsed()
}
