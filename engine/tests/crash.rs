//! Every crash point of short histories.
//!
//! A history is a seed: opens, appends to a few queues, batches, state records, groups, closes, over segments so small that
//! it crosses them. It runs once to count its disk operations. Then it runs again for each of them, and the power goes at that
//! operation: the operation takes place not at all, whole, in its first sector only, or in some of its sectors; and of what was
//! written but not synced before, nothing, everything or some survives. The store is opened again and must hold
//!
//! - everything that was acknowledged or visible, unchanged, at its offset,
//! - nothing that was not appended, nothing twice, each queue in the order of its appends,
//! - each message under each of its keys, and nothing else there,
//! - of each batch all records or none,
//! - a view that has applied exactly the state records that are in the log, in order;
//!
//! and must go on: further appends land, survive another power cut, and are not joined by anything from before.
//!
//! `KOUROU_CRASH_HISTORIES` is how many histories (default 300), `KOUROU_CRASH_SEED` where they begin.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use harness::{Store, message, small, state_record};
use kourou_engine::Flush;
use kourou_engine::Options;
use kourou_engine::disk::sim::{SimDisk, Survivors, Tear};

/// A small generator of its own, so that a seed means the same history for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What the appending side knows.
#[derive(Default)]
struct Ledger {
    /// Numbers in the order of their appends, by queue.
    appended: BTreeMap<(String, u32), Vec<u64>>,
    /// Queues and numbers of what was appended together.
    batches: Vec<Vec<((String, u32), u64)>>,
    states: Vec<u64>,
    /// Queue, offset and number of what was acknowledged.
    acknowledged: Vec<((String, u32), u64, u64)>,
    acknowledged_states: BTreeSet<u64>,
    /// What a reader could see at some time.
    visible: Vec<(String, u32, u64)>,
    next: u64,
}

const QUEUES: [(&str, u32); 4] = [("orders", 0), ("orders", 1), ("payments", 0), ("x", 65_000)];

/// Runs a history until it ends or the disk crashes under it.
fn run(seed: u64, disk: &SimDisk, options: &Options, ledger: &Arc<Mutex<Ledger>>) {
    let mut random = Random(seed);
    for _ in 0..1 + random.below(2) {
        let Ok(store) = Store::open(disk, options.clone()) else {
            return;
        };
        for _ in 0..3 + random.below(12) {
            step(&mut random, &store, ledger);
            if disk.crashed() {
                break;
            }
        }
        if !disk.crashed() && random.below(3) > 0 {
            let _outcome = store.engine.close();
        }
        ledger
            .lock()
            .unwrap()
            .visible
            .append(&mut store.view.arrived.lock().unwrap());
        if disk.crashed() {
            return;
        }
    }
}

fn step(random: &mut Random, store: &Store, ledger: &Arc<Mutex<Ledger>>) {
    let number = {
        let mut ledger = ledger.lock().unwrap();
        ledger.next += 10;
        ledger.next
    };
    let size = [10, 200, 600, 5_000, 20_000][random.below(5) as usize];
    let acknowledge = |queue: (String, u32), number: u64| {
        let ledger = Arc::clone(ledger);
        move |offset: u64| ledger.lock().unwrap().acknowledged.push((queue, offset, number))
    };
    match random.below(10) {
        0..5 => {
            let (topic, queue_id) = QUEUES[random.below(4) as usize];
            let queue = (topic.to_owned(), queue_id);
            ledger
                .lock()
                .unwrap()
                .appended
                .entry(queue.clone())
                .or_default()
                .push(number);
            let acknowledge = acknowledge(queue, number);
            store
                .engine
                .append(message(topic, queue_id, number, size), move |outcome| {
                    if let Ok(stored) = outcome {
                        acknowledge(stored.queue_offset);
                    }
                });
        }
        5 => {
            let queues: Vec<_> = (0..1 + random.below(4))
                .map(|_| QUEUES[random.below(4) as usize])
                .collect();
            let numbers = (number..).take(queues.len());
            let mut records = Vec::new();
            let mut acknowledges = Vec::new();
            let mut batch = Vec::new();
            for ((topic, queue_id), number) in queues.into_iter().zip(numbers) {
                let queue = (topic.to_owned(), queue_id);
                ledger
                    .lock()
                    .unwrap()
                    .appended
                    .entry(queue.clone())
                    .or_default()
                    .push(number);
                records.push(message(topic, queue_id, number, size / 2));
                batch.push((queue.clone(), number));
                acknowledges.push(acknowledge(queue, number));
            }
            ledger.lock().unwrap().batches.push(batch);
            store
                .engine
                .append_batch(records.into_iter().collect(), move |outcome| {
                    for (stored, acknowledge) in outcome.into_iter().flatten().zip(acknowledges) {
                        acknowledge(stored.queue_offset);
                    }
                });
        }
        6 => {
            ledger.lock().unwrap().states.push(number);
            let ledger = Arc::clone(ledger);
            store.engine.append(state_record(number), move |outcome| {
                if outcome.is_ok() {
                    ledger.lock().unwrap().acknowledged_states.insert(number);
                }
            });
        }
        _ => store.engine.pump(),
    }
}

/// What a store that was opened after the crash must satisfy.
fn check(store: &Store, ledger: &Ledger, durable: bool) {
    let messages = store.messages_with_keys();
    for (queue, numbers) in &messages {
        // Nothing invented, nothing twice, the order of the appends: a prefix-with-gaps of what was appended. Gaps come from
        // appends that failed when the disk did.
        let mut appended = ledger.appended[queue].iter();
        for number in numbers {
            assert!(
                appended.any(|other| other == number),
                "{number} in {queue:?}: {numbers:?}"
            );
        }
    }
    for batch in &ledger.batches {
        let is_there = |(queue, number): &((String, u32), u64)| {
            messages
                .get(queue)
                .is_some_and(|numbers| numbers.contains(number))
        };
        let there = batch.iter().filter(|one| is_there(one)).count();
        assert!(
            [0, batch.len()].contains(&there),
            "{there} records of the batch {batch:?}"
        );
    }
    let states = store.view.applied.lock().unwrap().clone();
    let mut appended = ledger.states.iter();
    for number in &states {
        assert!(appended.any(|other| other == number), "state {number}");
    }
    if !durable {
        return;
    }
    for (queue, offset, number) in &ledger.acknowledged {
        let found = messages
            .get(queue)
            .and_then(|numbers| numbers.get(*offset as usize));
        assert_eq!(
            found,
            Some(number),
            "acknowledged {number} at {offset} of {queue:?}"
        );
    }
    for number in &ledger.acknowledged_states {
        assert!(states.contains(number), "acknowledged state {number}");
    }
    for (topic, queue_id, offset) in &ledger.visible {
        let numbers = messages.get(&(topic.clone(), *queue_id)).map_or(0, Vec::len);
        assert!(
            *offset < numbers as u64,
            "visible offset {offset} of {topic}/{queue_id}"
        );
    }
}

fn go_on(disk: &SimDisk, options: &Options, ledger: &mut Ledger) {
    let store = Store::open(disk, options.clone()).unwrap();
    check(&store, ledger, options.flush == Flush::Durable);
    let before = store.messages_with_keys();
    // One of each size class, so that some group ends where an old one did.
    for (size, (topic, queue_id)) in [10, 200, 5_000, 600].into_iter().zip(QUEUES) {
        // Beyond the numbers of a batch.
        ledger.next += 10;
        ledger
            .appended
            .entry((topic.to_owned(), queue_id))
            .or_default()
            .push(ledger.next);
        store
            .engine
            .append_blocking(message(topic, queue_id, ledger.next, size))
            .unwrap();
    }
    let after = store.messages_with_keys();
    assert_eq!(count(&after), count(&before) + 4);
    let disk = if options.flush == Flush::Durable {
        disk.after_power_cut(Survivors::None)
    } else {
        disk.after_kill()
    };
    drop(store);
    let store = Store::open(&disk, options.clone()).unwrap();
    assert_eq!(store.messages_with_keys(), after, "a power cut after the restart");
    store.engine.close().unwrap();
    let store = Store::open(&disk, options.clone()).unwrap();
    assert_eq!(store.messages_with_keys(), after, "a close after the restart");
}

/// Every other history has groups so small that one after the other is written in one go.
fn durable(seed: u64) -> Options {
    let mut options = small();
    if seed % 2 == 1 {
        options.group_size_bytes_max = 4096;
    }
    options
}

fn count(messages: &BTreeMap<(String, u32), Vec<u64>>) -> usize {
    messages.values().map(Vec::len).sum()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn every_crash_point(seed: u64, options: &Options, kill: bool) -> u64 {
    let whole = SimDisk::new();
    run(seed, &whole, options, &Arc::default());
    let mut images = 0;
    for op in 0..whole.operations() {
        let variants = [
            (Tear::None, Survivors::None),
            (Tear::All, Survivors::All),
            (Tear::Prefix(1), Survivors::None),
            (Tear::Random(seed ^ op), Survivors::Random(seed.wrapping_add(op))),
        ];
        for (tear, survivors) in variants {
            let what = format!("KOUROU_CRASH_SEED={seed}, operation {op}, {tear:?}, {survivors:?}");
            let ledger = Arc::new(Mutex::new(Ledger::default()));
            let disk = SimDisk::new();
            disk.crash_at(op, tear);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(seed, &disk, options, &ledger);
                let left = if kill {
                    disk.after_kill()
                } else {
                    disk.after_power_cut(survivors)
                };
                go_on(&left, options, &mut ledger.lock().unwrap());
            }));
            if let Err(panic) = outcome {
                eprintln!("{what}");
                std::panic::resume_unwind(panic);
            }
            images += 1;
        }
    }
    images
}

#[test]
fn a_power_cut_at_every_operation() {
    let histories = setting("KOUROU_CRASH_HISTORIES", 300);
    let first = setting("KOUROU_CRASH_SEED", 0);
    let images: u64 = (first..first + histories)
        .map(|seed| every_crash_point(seed, &durable(seed), false))
        .sum();
    println!("{histories} histories, {images} crash images: 0 acknowledged lost, 0 invented");
}

/// A relaxed log keeps what it acknowledged through a kill, and is whole, if shorter, after a loss of power.
#[test]
fn a_relaxed_log_survives_kills_and_is_whole_after_a_power_cut() {
    let histories = setting("KOUROU_CRASH_HISTORIES", 300) / 10;
    let options = Options {
        flush: Flush::Relaxed,
        ..small()
    };
    let images: u64 = (0..histories)
        .map(|seed| every_crash_point(seed, &options, seed % 2 == 0))
        .sum();
    println!("{histories} relaxed histories, {images} crash images");
}
