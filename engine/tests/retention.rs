//! Segments that expire: what goes, what stays, and that no crash in between loses what stays.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use harness::{SHARED_KEY, Store, dir, message, number_of, small, state_record, with_key};
use kourou_engine::clock::{Clock, ManualClock};
use kourou_engine::disk::sim::{Op, SimDisk, Survivors, Tear};
use kourou_engine::disk::{Disk, StdDisk, WriterKind};
use kourou_engine::record::RecordView;
use kourou_engine::{
    Boundary, Engine, ExpireError, Expired, Expiry, Flush, Going, Health, NoView, OpenError, Options,
    QueueRange, ReadError, Retention, Threads, Why,
};
use rustix::io::Errno;

const SEGMENT: u64 = 64 << 10;

fn by_size(segments: u64) -> Retention {
    Retention {
        size_bytes_max: Some(segments * SEGMENT),
        ..Retention::default()
    }
}

fn by_age(age_ms: i64) -> Retention {
    Retention {
        age_ms_max: Some(age_ms),
        ..Retention::default()
    }
}

fn by_disk(percent: u8) -> Retention {
    Retention {
        disk_percent_max: Some(percent),
        ..Retention::default()
    }
}

/// Needs everything from a position on.
struct Needs {
    from: u64,
    asked: Arc<Mutex<Vec<Going>>>,
    told: Arc<Mutex<Option<Result<Expired, ExpireError>>>>,
}

impl Expiry for Needs {
    fn may_go(&mut self, going: &Going) -> u64 {
        self.asked.lock().unwrap().push(*going);
        going.below.min(self.from)
    }

    fn done(self: Box<Self>, outcome: Result<Expired, ExpireError>) {
        *self.told.lock().unwrap() = Some(outcome);
    }
}

impl Store {
    fn try_expire(&self, retention: Retention, from: u64) -> Result<Expired, ExpireError> {
        let told = Arc::new(Mutex::new(None));
        let needs = Needs {
            from,
            asked: Arc::default(),
            told: told.clone(),
        };
        self.engine.expire(retention, self.clock.now_ms(), needs);
        self.engine.pump();
        told.lock().unwrap().take().unwrap()
    }

    fn expire(&self, retention: Retention) -> Expired {
        self.try_expire(retention, u64::MAX).unwrap()
    }

    /// Appends messages of 10 KB in turn to two queues until the log has so many segments; the clock goes on by a second
    /// with each. Returns their positions.
    fn fill(&self, segments: usize) -> Vec<u64> {
        let mut positions = Vec::new();
        let mut number = 100;
        while self.engine.segment_count() < segments {
            self.clock.advance(1_000);
            let queue = (number % 2) as u32;
            let stored = self
                .engine
                .append_blocking(message("orders", queue, number, 10_000));
            positions.push(stored.unwrap().position);
            number += 1;
        }
        positions
    }
}

fn listed(disk: &SimDisk, folder: &str) -> usize {
    disk.list(&dir().join(folder)).unwrap().len()
}

#[test]
fn the_oldest_go_by_age_and_queues_begin_behind_them() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let first = store.engine.append_blocking(message("gone", 3, 7, 100)).unwrap();
    store.engine.append_blocking(state_record(5)).unwrap();
    let positions = store.fill(5);
    let all = store.messages_with_keys();
    let age_ms = store.clock.now_ms() - 1_000 - 8_000;
    // Nothing is so old that a younger record in its segment is not.
    assert_eq!(store.expire(by_age(age_ms + 60_000)).going, None);
    let expired = store.expire(by_age(age_ms));
    assert_eq!(
        (
            expired.segments,
            expired.size_bytes,
            expired.first_position,
            expired.held
        ),
        (1, SEGMENT, SEGMENT, false)
    );
    assert_eq!(expired.going.unwrap().why, Why::Age);
    assert_eq!(store.engine.first_position(), SEGMENT);
    assert_eq!((listed(&disk, "log"), listed(&disk, "index")), (4, 3));

    let gone = positions.iter().filter(|position| **position < SEGMENT).count() as u64;
    let check = |store: &Store| {
        let kept = store.messages_with_keys();
        let mut expected = all.clone();
        expected.remove(&("gone".into(), 3));
        for ((_, queue_id), numbers) in &mut expected {
            let gone_here = (gone + 1 - u64::from(*queue_id)) / 2;
            numbers.drain(..gone_here as usize);
            let range = store.engine.queue_range("orders", *queue_id).unwrap();
            assert_eq!(range.min, gone_here);
        }
        assert_eq!(kept, expected);
        // Whose every record has expired goes on where it was.
        let empty = Some(QueueRange { min: 1, max: 1 });
        assert_eq!(store.engine.queue_range("gone", 3), empty);
        assert_eq!(store.numbers_with_key(&with_key("gone", SHARED_KEY)), [0; 0]);
        for read in [
            store.engine.read_at(first.position),
            store.engine.read(first.position, first.size_bytes),
        ] {
            assert!(
                matches!(read, Err(ReadError::Outside { first: SEGMENT, .. })),
                "{read:?}"
            );
        }
        for boundary in [Boundary::Lower, Boundary::Upper] {
            let at = |topic, queue| store.engine.offset_by_time(topic, queue, 0, boundary);
            assert_eq!(at("orders", 0), Some(gone / 2 + gone % 2));
            assert_eq!(at("gone", 3), Some(1));
        }
        let mut entries = Vec::new();
        store.engine.entries("orders", 0, 0, 9, &mut entries);
        assert!(entries.is_empty(), "below the beginning there is nothing");
        assert_eq!(
            store.engine.offset_from("orders", 0, 0),
            Some(gone / 2 + gone % 2)
        );
        let second = positions
            .iter()
            .filter(|position| **position < 2 * SEGMENT)
            .count() as u64;
        assert_eq!(
            store.engine.offset_from("orders", 0, 2 * SEGMENT),
            Some(second / 2 + second % 2)
        );
        assert_eq!(
            *store.view.applied.lock().unwrap(),
            [5],
            "what the state records meant"
        );
    };
    check(&store);
    // After a kill, with a checkpoint of before; after a close; after a loss of power.
    drop(store);
    let killed = Store::open(&disk.after_kill(), small()).unwrap();
    check(&killed);
    let store = Store::open(&disk.after_power_cut(Survivors::None), small()).unwrap();
    check(&store);
    store.engine.close().unwrap();
    drop((store, killed));
    let disk = disk.after_power_cut(Survivors::None);
    for _ in 0..2 {
        let store = Store::open(&disk, small()).unwrap();
        check(&store);
        store.engine.close().unwrap();
    }
    let store = Store::open(&disk, small()).unwrap();
    let stored = store.engine.append_blocking(message("gone", 3, 8, 100)).unwrap();
    assert_eq!(stored.queue_offset, 1);
}

#[test]
fn so_much_is_kept_and_never_less_than_the_live_segment() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    store.fill(6);
    assert_eq!(store.expire(by_size(6)).going, None);
    let expired = store.expire(by_size(3));
    assert_eq!(expired.first_position, store.engine.first_position());
    assert_eq!(expired.going.unwrap().why, Why::Size);
    assert_eq!(store.engine.segment_count(), 3);
    assert!(store.engine.watermark() - store.engine.first_position() <= 3 * SEGMENT);
    store.expire(by_size(0));
    assert_eq!(store.engine.segment_count(), 1);
    assert_eq!(store.expire(by_size(0)).segments, 0);
    assert_eq!(
        store.expire(Retention::default()).going,
        None,
        "nothing was asked for"
    );
    let kept = store.messages_with_keys();
    assert!(!kept.is_empty());
    let store = Store::open(&disk.after_kill(), small()).unwrap();
    assert_eq!(store.messages_with_keys(), kept);
    // A log that goes on like this never has a gap.
    for round in 0..5 {
        store.fill(2);
        let expired = store.expire(by_size(0));
        assert_eq!(expired.segments, 1, "round {round}");
    }
}

#[test]
fn no_more_than_a_few_go_at_once() {
    let store = Store::open(&SimDisk::new(), small()).unwrap();
    store.fill(14);
    let mut counts = Vec::new();
    while store.engine.segment_count() > 1 {
        counts.push(store.expire(by_size(0)).segments);
    }
    assert_eq!(counts, [10, 3]);
}

#[test]
fn what_is_needed_stays() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    store.fill(5);
    let kept = store.try_expire(by_size(0), SEGMENT + 77).unwrap();
    assert_eq!(
        (kept.segments, kept.held, kept.first_position),
        (1, true, SEGMENT)
    );
    let kept = store.try_expire(by_size(0), SEGMENT).unwrap();
    assert_eq!((kept.segments, kept.held), (0, true));
    let expired = store.try_expire(by_size(0), 3 * SEGMENT).unwrap();
    assert_eq!(
        (expired.segments, expired.held, expired.first_position),
        (2, true, 3 * SEGMENT)
    );
}

#[test]
fn a_fuller_disk_keeps_less_and_a_short_log_is_not_forgotten_for_it() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    store.fill(8);
    let used_bytes = (1 << 40) - disk.free_bytes(&dir()).unwrap();
    disk.set_capacity_bytes(used_bytes * 10 / 8);
    assert_eq!(store.expire(by_disk(80)).going, None);
    let kept = Retention {
        kept_size_bytes_min: 6 * SEGMENT,
        ..by_disk(40)
    };
    assert_eq!(store.expire(kept).segments, 1);
    let expired = store.expire(by_disk(40));
    let going = expired.going.unwrap();
    assert_eq!(
        (going.why, going.is_full, expired.held),
        (Why::Disk, false, false)
    );
    assert!((60..=80).contains(&going.disk_percent.unwrap()), "{going:?}");
    let free_bytes = disk.free_bytes(&dir()).unwrap();
    let total_bytes = disk.total_bytes(&dir()).unwrap();
    assert!(
        free_bytes * 10 >= total_bytes * 6,
        "{free_bytes} of {total_bytes}"
    );
    assert!(store.engine.segment_count() > 2, "no more than that");
    assert_eq!(store.expire(by_disk(40)).going, None);
}

/// Sends are refused while the disk is full; what expires makes room, and they go on by themselves.
#[test]
fn a_full_disk_recovers_by_what_it_gives_up() {
    let options = Options {
        segment_size_bytes: 4 << 20,
        ahead_size_bytes: 1 << 20,
        ..small()
    };
    let disk = SimDisk::new();
    disk.set_capacity_bytes(14 << 20);
    let store = Store::open(&disk, options.clone()).unwrap();
    let append = |number| {
        store
            .engine
            .append_blocking(message("orders", 0, number, 100_000))
    };
    let mut number = 0;
    while append(number).is_ok() {
        number += 1;
    }
    assert!(matches!(store.engine.health(), Health::Full));
    let accepted = number;
    // State goes on, and so do reads.
    store.engine.append_blocking(state_record(1)).unwrap();
    assert_eq!(store.messages()[&("orders".into(), 0)].len() as u64, accepted);
    append(number).unwrap_err();
    // What lets something go may use what is kept for state.
    let reserved = Arc::new(Mutex::new(None));
    let tell = reserved.clone();
    let records = [message("orders", 0, number, 100_000)].into_iter().collect();
    store
        .engine
        .append_reserved(records, move |stored| *tell.lock().unwrap() = Some(stored));
    store.engine.pump();
    assert_eq!(
        reserved.lock().unwrap().take().unwrap().unwrap()[0].queue_offset,
        accepted
    );
    let accepted = accepted + 1;
    append(number).unwrap_err();
    // With nothing to be given up for the disk it stays full.
    assert_eq!(store.expire(by_age(i64::MAX)).going, None);
    append(number).unwrap_err();
    let keeps_all = Retention {
        kept_size_bytes_min: u64::MAX,
        ..by_disk(100)
    };
    let expired = store.expire(keeps_all);
    assert_eq!(
        (expired.segments, expired.going.map(|going| going.is_full)),
        (1, Some(true))
    );
    append(number).unwrap();
    assert!(matches!(store.engine.health(), Health::Running));
    assert_eq!(store.expire(keeps_all).going, None, "there is room again");
    let range = store.engine.queue_range("orders", 0).unwrap();
    assert_eq!(range.max, accepted + 1);
    assert!(range.min > 0);
    let store = Store::open(&disk.after_power_cut(Survivors::None), options).unwrap();
    assert_eq!(store.engine.queue_range("orders", 0), Some(range));
    assert_eq!(*store.view.applied.lock().unwrap(), [1]);
}

#[test]
fn slices_outlast_their_segment() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(StdDisk::new(folder.path(), WriterKind::Auto));
    let options = Options {
        dir: folder.path().to_owned(),
        tail_cache_size_bytes: 64 << 10,
        ..small()
    };
    let clock = Arc::new(ManualClock::new(1_000));
    let engine = Engine::open(options, disk, clock, Arc::new(NoView)).unwrap();
    let mut number = 0;
    while engine.segment_count() < 4 {
        engine
            .append_blocking(message("orders", 0, number, 10_000))
            .unwrap();
        number += 1;
    }
    let mut entries = Vec::new();
    engine.entries("orders", 0, 0, 3, &mut entries);
    let mut slices: Vec<Bytes> = Vec::new();
    engine.read_many(&entries, &mut slices).unwrap();
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    engine.expire(by_size(0), 0, move |expired| {
        *tell.lock().unwrap() = Some(expired)
    });
    engine.pump();
    assert_eq!(told.lock().unwrap().take().unwrap().unwrap().segments, 3);
    let names = |sub: &str| std::fs::read_dir(folder.path().join(sub)).unwrap().count();
    assert_eq!((names("log"), names("index")), (engine.segment_count(), 0));
    for (number, slice) in slices.iter().enumerate() {
        let record = RecordView::parse(slice).unwrap();
        record.verify(entries[number].position).unwrap();
        assert_eq!(number_of(record.body()), number as u64);
    }
    let mut more = Vec::new();
    let read = engine.read_many(&entries, &mut more);
    assert!(matches!(read, Err(ReadError::Outside { .. })) && more.is_empty());
}

#[test]
fn a_segment_that_cannot_be_removed_stays_and_is_tried_again() {
    // Unlink, then the folder's sync; an error may have taken place or not.
    for (behind, tear) in [(0, Tear::None), (0, Tear::All), (1, Tear::None), (1, Tear::All)] {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        store.fill(4);
        let before = store.messages_with_keys();
        disk.fail_at(disk.operations() + behind, Errno::IO, tear);
        let refused = store.try_expire(by_size(2), u64::MAX);
        assert!(matches!(refused, Err(ExpireError::Io { .. })), "{refused:?}");
        assert_eq!(store.messages_with_keys(), before);
        assert_eq!(store.engine.first_position(), 0);
        assert_eq!(store.expire(by_size(2)).segments, 2);
        let after = store.messages_with_keys();
        drop(store);
        let store = Store::open(&disk.after_power_cut(Survivors::None), small()).unwrap();
        assert_eq!(store.messages_with_keys(), after);
    }
}

/// The newest checkpoint may rot: the other one must do without what has expired, too.
#[test]
fn either_checkpoint_goes_on_behind_what_expired() {
    for name in ["checkpoint.0", "checkpoint.1"] {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        store.engine.append_blocking(state_record(9)).unwrap();
        store.fill(4);
        store.expire(by_size(0));
        let kept = store.messages_with_keys();
        drop(store);
        disk.flip_bit(&dir().join(name), 40, 1).unwrap();
        let store = Store::open(&disk.after_power_cut(Survivors::None), small()).unwrap();
        assert_eq!(store.messages_with_keys(), kept, "without {name}");
        assert_eq!(*store.view.applied.lock().unwrap(), [9]);
    }
}

#[test]
fn a_log_that_lost_more_than_expired_is_refused_and_left_alone() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    store.fill(4);
    store.expire(by_size(3));
    drop(store);
    let reopen = |change: &dyn Fn(&SimDisk)| {
        let disk = disk.after_kill();
        change(&disk);
        let operations = disk.operations();
        let outcome = Store::open(&disk, small()).map(drop);
        let trace = disk.trace();
        assert!(
            trace[operations as usize..]
                .iter()
                .all(|op| matches!(op, Op::CreateDir { .. } | Op::Sync { .. })),
            "{trace:?}"
        );
        outcome
    };
    let segment = |at: u64| dir().join(format!("log/{:020}", at * SEGMENT));
    let without_live = reopen(&|disk| {
        for at in 1..=3 {
            disk.remove(&segment(at)).unwrap();
        }
    });
    assert!(
        matches!(without_live, Err(OpenError::Corrupt { .. })),
        "{without_live:?}"
    );
    let without_checkpoints = reopen(&|disk| {
        for name in ["checkpoint.0", "checkpoint.1"] {
            disk.remove(&dir().join(name)).unwrap();
        }
    });
    let refusal = without_checkpoints.unwrap_err().to_string();
    assert!(refusal.contains("which has expired"), "{refusal}");
}

/// What the embedder appended in the place of what goes must not be younger than the next sync.
#[test]
fn a_relaxed_log_syncs_before_it_gives_up() {
    let options = Options {
        flush: Flush::Relaxed,
        ..small()
    };
    let disk = SimDisk::new();
    let store = Store::open(&disk, options.clone()).unwrap();
    store.fill(3);
    store.engine.append_blocking(state_record(3)).unwrap();
    let cut = disk.after_power_cut(Survivors::None);
    let cut = Store::open(&cut, options.clone()).unwrap();
    assert!(cut.view.applied.lock().unwrap().is_empty(), "relaxed");
    store.expire(by_size(1));
    let cut = Store::open(&disk.after_power_cut(Survivors::None), options).unwrap();
    assert_eq!(*cut.view.applied.lock().unwrap(), [3]);
    assert_eq!(cut.messages(), store.messages());
}

#[test]
fn a_stopped_or_closed_log_gives_nothing_up() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    store.fill(3);
    disk.fail_at(disk.operations(), Errno::IO, Tear::None);
    store.engine.append_blocking(state_record(1)).unwrap_err();
    let refused = store.try_expire(by_size(0), u64::MAX);
    assert!(matches!(refused, Err(ExpireError::Stopped(_))), "{refused:?}");
    assert_eq!(store.engine.first_position(), 0);
    let store = Store::open(&disk.after_kill(), small()).unwrap();
    store.engine.close().unwrap();
    let refused = store.try_expire(by_size(0), u64::MAX);
    assert!(matches!(refused, Err(ExpireError::Closed)), "{refused:?}");
}

/// Readers of all kinds while the log grows at one end and goes at the other.
#[test]
fn readers_race_with_expiry() {
    let disk = SimDisk::new();
    let options = Options {
        threads: Threads::Background,
        tail_cache_size_bytes: 64 << 10,
        ..small()
    };
    let clock = Arc::new(ManualClock::new(1_000));
    let engine = Engine::open(options, Arc::new(disk), clock, Arc::new(NoView)).unwrap();
    let read = |seen: &mut u64| {
        let Some(range) = engine.queue_range("orders", 0) else {
            return;
        };
        let mut entries = Vec::new();
        engine.entries("orders", 0, range.min, 8, &mut entries);
        for (at, entry) in entries.iter().enumerate() {
            assert_eq!(entry.queue_offset, range.min + at as u64);
            match engine.read(entry.position, entry.size_bytes) {
                Ok(bytes) => {
                    let record = RecordView::parse(&bytes).unwrap();
                    record.verify(entry.position).unwrap();
                    assert_eq!(number_of(record.body()), entry.queue_offset);
                    *seen += 1;
                }
                Err(ReadError::Outside { first, .. }) => assert!(entry.position < first),
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(entry) = entries.first() {
            let unique = format!("id-{}", entry.queue_offset);
            let found = engine.find_by_key(&with_key("orders", &unique));
            let begins = engine.queue_range("orders", 0).unwrap().min;
            assert!(found.len() == 1 || entry.queue_offset < begins);
        }
        let from = engine.offset_from("orders", 0, engine.first_position()).unwrap();
        assert!(from >= range.min);
    };
    let running = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    while running.load(std::sync::atomic::Ordering::Relaxed) {
                        read(&mut seen);
                    }
                    seen
                })
            })
            .collect();
        let (done, outcomes) = std::sync::mpsc::channel();
        for number in 0..600 {
            engine
                .append_blocking(message("orders", 0, number, 4_000))
                .unwrap();
            if number % 5 == 0 {
                let done = done.clone();
                engine.expire(by_size(2), 0, move |expired: Result<Expired, ExpireError>| {
                    done.send(expired).unwrap();
                });
            }
        }
        drop(done);
        // All of them, before the close that refuses what is left.
        for expired in outcomes {
            expired.unwrap();
        }
        running.store(false, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert!(engine.first_position() > 10 * SEGMENT);
    engine.close().unwrap();
}

/// What is known from outside of a log that expires.
#[derive(Default)]
struct Ledger {
    /// Number and position of what was acknowledged, by queue and offset.
    acknowledged: BTreeMap<(u32, u64), (u64, u64)>,
    states: Vec<u64>,
    /// What was allowed to go at the most, and what surely went.
    allowed: u64,
    gone: u64,
}

fn run(disk: &SimDisk, options: &Options, ledger: &Arc<Mutex<Ledger>>) {
    let mut number = 0;
    for life in 0..3 {
        let Ok(store) = Store::open(disk, options.clone()) else {
            return;
        };
        for step in 0..22 {
            number += 1;
            let queue = if step == 0 { 7 } else { (number % 2) as u32 };
            let ledger_of = ledger.clone();
            store
                .engine
                .append(message("orders", queue, number, 9_000), move |stored| {
                    if let Ok(stored) = stored {
                        let key = (queue, stored.queue_offset);
                        let mut ledger = ledger_of.lock().unwrap();
                        ledger.acknowledged.insert(key, (number, stored.position));
                    }
                });
            if step % 4 == 1 {
                let ledger_of = ledger.clone();
                store.engine.append(state_record(number), move |stored| {
                    if stored.is_ok() {
                        ledger_of.lock().unwrap().states.push(number);
                    }
                });
            }
            store.engine.pump();
            if step % 6 == 5 {
                let (asked, told) = (Arc::default(), Arc::default());
                let needs = Needs {
                    // Once in a while something is needed.
                    from: if step == 11 { SEGMENT * 2 } else { u64::MAX },
                    asked: Arc::clone(&asked),
                    told: Arc::clone(&told),
                };
                let from = needs.from;
                store.engine.expire(by_size(1), 0, needs);
                store.engine.pump();
                let mut ledger = ledger.lock().unwrap();
                for going in asked.lock().unwrap().iter() {
                    ledger.allowed = ledger.allowed.max(going.below.min(from));
                }
                if let Some(Ok(expired)) = told.lock().unwrap().take() {
                    ledger.gone = expired.first_position;
                }
            }
            if disk.crashed() {
                return;
            }
        }
        if life != 1 && store.engine.close().is_err() {
            return;
        }
    }
}

fn check(store: &Store, ledger: &Ledger, durable: bool) {
    let first = store.engine.first_position();
    assert!(first <= ledger.allowed, "{first} went, {} might", ledger.allowed);
    assert!(first >= ledger.gone, "what went stays gone");
    let messages = store.messages_with_keys();
    let range = |queue| store.engine.queue_range("orders", queue);
    let state = store.view.applied.lock().unwrap().clone();
    if !durable {
        return;
    }
    for ((queue, offset), (number, position)) in &ledger.acknowledged {
        let range = range(*queue).unwrap();
        assert!(range.max > *offset, "offsets never go back");
        let at = offset
            .checked_sub(range.min)
            .map(|at| messages[&("orders".into(), *queue)][at as usize]);
        assert_eq!(
            at.is_some(),
            *position >= first,
            "{number} at {offset} of {queue}"
        );
        assert!(at.is_none_or(|at| at == *number));
    }
    for number in &ledger.states {
        assert!(state.contains(number), "state outlasts its record: {number}");
    }
}

fn every_crash_point(options: &Options, kill: bool) -> u64 {
    let whole = SimDisk::new();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    run(&whole, options, &ledger);
    let (gone, operations) = (ledger.lock().unwrap().gone, whole.operations());
    assert!(gone >= 4 * SEGMENT, "the history expires much: {gone}");
    let mut images = 0;
    for op in 0..operations {
        for (tear, survivors) in [
            (Tear::None, Survivors::None),
            (Tear::All, Survivors::All),
            (Tear::Prefix(1), Survivors::None),
            (Tear::Random(op), Survivors::Random(op)),
            (Tear::All, Survivors::Random(op + 1)),
        ] {
            let disk = SimDisk::new();
            disk.crash_at(op, tear);
            let ledger = Arc::new(Mutex::new(Ledger::default()));
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(&disk, options, &ledger);
                let left = if kill {
                    disk.after_kill()
                } else {
                    disk.after_power_cut(survivors)
                };
                let ledger = ledger.lock().unwrap();
                let durable = options.flush == Flush::Durable || kill;
                let store = Store::open(&left, options.clone()).unwrap();
                check(&store, &ledger, durable);
                // It goes on, and expires.
                let before = store.engine.queue_range("orders", 1).map_or(0, |range| range.max);
                for number in 0..9 {
                    store
                        .engine
                        .append_blocking(message("orders", 1, 1_000 + number, 9_000))
                        .unwrap();
                }
                store.expire(by_size(1));
                let range = store.engine.queue_range("orders", 1).unwrap();
                assert_eq!(range.max, before + 9);
                let after = store.messages_with_keys();
                drop(store);
                let store = Store::open(&left.after_kill(), options.clone()).unwrap();
                assert_eq!(store.messages_with_keys(), after);
                assert_eq!(store.engine.queue_range("orders", 1), Some(range));
            }));
            if let Err(panic) = outcome {
                eprintln!(
                    "operation {op} of {operations}, {tear:?}, {survivors:?}, {:?}",
                    whole.trace()[op as usize]
                );
                std::panic::resume_unwind(panic);
            }
            images += 1;
        }
    }
    images
}

#[test]
fn a_power_cut_at_every_operation_of_a_log_that_expires() {
    let images = every_crash_point(&small(), false);
    println!("{images} crash images");
}

#[test]
fn a_kill_at_every_operation_of_a_log_that_expires() {
    let images = every_crash_point(&small(), true);
    println!("{images} crash images");
}

#[test]
fn relaxed_logs_expire_too() {
    let options = Options {
        flush: Flush::Relaxed,
        ..small()
    };
    let images = every_crash_point(&options, true) + every_crash_point(&options, false);
    println!("{images} crash images");
}
