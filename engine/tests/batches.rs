//! Batches are in the log all or not at all.
//!
//! Single appends and batches are written in groups, and the power goes at each operation of that; a group's write is torn at every
//! sector, and loses every single one of them. What the next open finds is not only right but known to the record: the appends
//! before the first lost byte, each whole.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::cmp::Ordering;
use std::sync::{Arc, Mutex};

use harness::{Store, dir, message, small, state_record};
use kourou_engine::disk::sim::{Op, SimDisk, Survivors, Tear};
use kourou_engine::record::EncodedRecords;
use kourou_engine::{AppendError, Appended, OpenError, Options};

const SECTOR_SIZE_BYTES: u64 = 512;
/// Of a group or a batch.
const MARK_SIZE_BYTES: u64 = 32;

/// Sizes of the bodies of what is appended together; several are a batch.
const APPENDS: [&[usize]; 7] = [
    &[300],
    &[700, 30, 900],
    &[1_100],
    &[400, 500],
    &[20, 20],
    &[4_500, 10],
    &[200],
];

/// Where an append lies in the log, the mark before it included, which operation wrote it, and its numbers.
#[derive(Debug, Clone)]
struct Lies {
    from: u64,
    to: u64,
    operation: u64,
    numbers: Vec<u64>,
}

/// What an append was told, and by which operation it was written.
type Told = Arc<Mutex<Option<(Result<Vec<Appended>, AppendError>, u64)>>>;

/// Fills a new store up to somewhere, and appends everything at once. Returns where it lies, if it was told.
fn run(disk: &SimDisk, options: &Options, filler: usize) -> Vec<Option<Lies>> {
    let store = Store::open(disk, options.clone()).unwrap();
    store
        .engine
        .append_blocking(message("orders", 0, 0, filler))
        .unwrap();
    let mut number = 0;
    let mut waiting = Vec::new();
    for sizes in APPENDS {
        let numbers: Vec<u64> = (number + 1..).take(sizes.len()).collect();
        number += sizes.len() as u64;
        let records: EncodedRecords = numbers
            .iter()
            .zip(sizes)
            .map(|(number, size)| message("orders", 0, *number, *size))
            .collect();
        let told = Told::default();
        store.engine.append_batch(records, {
            let (told, disk) = (Arc::clone(&told), disk.clone());
            // Told right after the write.
            move |outcome| *told.lock().unwrap() = Some((outcome, disk.operations() - 1))
        });
        waiting.push((numbers, told));
    }
    store.engine.pump();
    let lies = |(numbers, told): (Vec<u64>, Told)| {
        let (outcome, operation) = told.lock().unwrap().take().unwrap();
        let appended = outcome.ok()?;
        let (first, last) = (appended.first()?, appended.last()?);
        let mark = if appended.len() > 1 { MARK_SIZE_BYTES } else { 0 };
        Some(Lies {
            from: first.position - mark,
            to: last.position + u64::from(last.size_bytes),
            operation,
            numbers,
        })
    };
    waiting.into_iter().map(lies).collect()
}

/// The numbers that are there after the power went at a group's write, which begins at `start` in the log and lost some of its sectors.
fn expected(lies: &[Lies], operation: u64, start: u64, is_lost: impl Fn(u64) -> bool) -> Vec<u64> {
    let mut numbers = vec![0];
    // The mark of the group is before its first append.
    let mut mark = MARK_SIZE_BYTES;
    for append in lies {
        let is_there = match append.operation.cmp(&operation) {
            Ordering::Less => true,
            Ordering::Equal => {
                let from = append.from - std::mem::take(&mut mark);
                let sector = |position: u64| position.saturating_sub(start) / SECTOR_SIZE_BYTES;
                !(sector(from)..=sector(append.to - 1)).any(&is_lost)
            }
            Ordering::Greater => false,
        };
        if !is_there {
            break;
        }
        numbers.extend(&append.numbers);
    }
    numbers
}

fn numbers(store: &Store) -> Vec<u64> {
    store.messages_with_keys()[&("orders".into(), 0)].clone()
}

/// How many images there were, and in how many of them something was cut off.
#[derive(Debug, Default)]
struct Count {
    images: usize,
    cut: usize,
}

fn every_sector(options: &Options, filler: usize, count: &mut Count) {
    let whole = SimDisk::new();
    let lies: Vec<Lies> = run(&whole, options, filler)
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let trace = whole.trace();
    // The first group holds the filler.
    let groups = trace
        .iter()
        .enumerate()
        .filter(|(_, op)| matches!(op, Op::Group { .. }))
        .skip(1);
    for (at, op) in groups {
        let Op::Group {
            path,
            position,
            size_bytes,
        } = op
        else {
            unreachable!("they are groups")
        };
        let segment = path.file_name().and_then(|name| name.to_str()).unwrap();
        let start = segment.parse::<u64>().unwrap() + position;
        let sectors = size_bytes / SECTOR_SIZE_BYTES as usize;
        let tears = (0..sectors).flat_map(|sector| [Tear::Prefix(sector), Tear::Without(sector)]);
        for tear in tears {
            let disk = SimDisk::new();
            disk.crash_at(at as u64, tear);
            run(&disk, options, filler);
            let disk = disk.after_power_cut(Survivors::None);
            let expected = expected(&lies, at as u64, start, |sector| match tear {
                Tear::Prefix(whole) => sector >= whole as u64,
                Tear::Without(missing) => sector == missing as u64,
                _ => unreachable!(),
            });
            let what = format!("filler {filler}, operation {at}, {op:?}, {tear:?}");
            let store = Store::open(&disk, options.clone()).unwrap();
            assert_eq!(numbers(&store), expected, "{what}");
            count.images += 1;
            count.cut += usize::from(store.engine.recovery().cut_bytes > 0);
            // It goes on, and nothing that was cut comes back.
            for (number, size) in [(100, 40), (101, 700)] {
                store
                    .engine
                    .append_blocking(message("orders", 0, number, size))
                    .unwrap();
            }
            drop(store);
            let store = Store::open(&disk.after_power_cut(Survivors::None), options.clone()).unwrap();
            let all: Vec<u64> = expected.into_iter().chain([100, 101]).collect();
            assert_eq!(numbers(&store), all, "{what}, and once more");
        }
    }
}

/// In the middle of a segment, at the edges of blocks, and where the log goes on in the next segment at each of the appends.
#[test]
fn a_power_cut_at_every_sector_leaves_batches_whole_or_not_at_all() {
    let mut count = Count::default();
    let fillers = [40, 3_600, 3_700, 3_830]
        .into_iter()
        .chain((54_000..65_000).step_by(611));
    for filler in fillers {
        every_sector(&small(), filler, &mut count);
    }
    // Each append is a group of its own, one behind the other.
    let alone = Options {
        group_size_bytes_max: 1,
        ..small()
    };
    for filler in [40, 3_700, 58_000, 62_000] {
        every_sector(&alone, filler, &mut count);
    }
    println!("{count:?}");
    assert!(count.images > 500 && count.cut > 300, "{count:?}");
}

/// Several records of state stand or fall together, too.
#[test]
fn a_torn_batch_of_state_is_applied_by_no_view() {
    let fill = |disk: &SimDisk| {
        let store = Store::open(disk, small()).unwrap();
        store.engine.append_blocking(state_record(1)).unwrap();
        let records = (2..40).map(state_record).collect();
        store.engine.append_batch(records, |_| {});
        store.engine.pump();
    };
    let whole = SimDisk::new();
    fill(&whole);
    let trace = whole.trace();
    let group = trace
        .iter()
        .rposition(|op| matches!(op, Op::Group { .. }))
        .unwrap();
    for sectors in 0..8 {
        let disk = SimDisk::new();
        disk.crash_at(group as u64, Tear::Prefix(sectors));
        fill(&disk);
        let store = Store::open(&disk.after_power_cut(Survivors::None), small()).unwrap();
        assert_eq!(*store.view.applied.lock().unwrap(), [1], "{sectors} sectors");
        assert_eq!(store.engine.recovery().replayed_records, 1);
    }
}

/// A batch with a whole group behind it was durable: what is broken in it was not torn.
#[test]
fn damage_in_a_batch_is_reported_where_it_is_and_nothing_is_cut() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let records = (0..3).map(|number| message("orders", 0, number, 200)).collect();
    store
        .engine
        .append_batch(records, move |outcome| sender.send(outcome).unwrap());
    store.engine.pump();
    let stored = receiver.recv().unwrap().unwrap();
    store
        .engine
        .append_blocking(message("orders", 0, 3, 200))
        .unwrap();
    let disk = disk.after_kill();
    let segment = dir().join("log").join("00000000000000000000");
    let clean = disk.content(&segment).unwrap();
    for (offset, expected) in [
        (stored[1].position + 150, stored[1].position),
        (stored[2].position + 150, stored[2].position),
        // The mark.
        (stored[0].position - 5, stored[0].position - MARK_SIZE_BYTES),
    ] {
        disk.flip_bit(&segment, offset, 3).unwrap();
        let error = Store::open(&disk, small()).err().unwrap();
        assert!(
            matches!(&error, OpenError::Corrupt { file, offset, .. } if *file == segment && *offset == expected),
            "{error}"
        );
        disk.flip_bit(&segment, offset, 3).unwrap();
        assert_eq!(disk.content(&segment).unwrap(), clean);
    }
    let store = Store::open(&disk, small()).unwrap();
    assert_eq!(numbers(&store), [0, 1, 2, 3]);
}
