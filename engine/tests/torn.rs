//! Faults with a name: what is left of a torn group, damage in the middle, failing and full disks.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::path::Path;

use harness::{Store, dir, message, small, state_record};
use kourou_engine::disk::sim::{Op, SimDisk, Survivors, Tear};
use kourou_engine::{AppendError, Appended, Health, OpenError, Options, ReadError};

fn segment() -> std::path::PathBuf {
    dir().join("log").join("00000000000000000000")
}

fn contains(disk: &SimDisk, number: u64, size_bytes: usize) -> bool {
    let body = harness::body(number, size_bytes);
    disk.content(&segment())
        .unwrap()
        .windows(body.len())
        .any(|window| window == body)
}

/// A group of two records is torn so that the first is lost and the second is whole. A later record of the first one's size
/// then ends exactly where the second begins: it must not come back to life.
#[test]
fn the_rest_of_a_torn_group_never_joins_a_later_one() {
    let size = 3_000;
    let mut tried = 0;
    for seed in 0..200 {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        // The space is zero-written by a first group, so that the next operation is the write of the second.
        store.engine.append_blocking(message("orders", 0, 1, 10)).unwrap();
        disk.crash_at(disk.operations(), Tear::Random(seed));
        let first = store.append(message("orders", 0, 2, size));
        let second = store.append(message("orders", 0, 3, size));
        store.engine.pump();
        assert!(matches!(
            *first.lock().unwrap(),
            Some(Err(AppendError::Stopped(_)))
        ));
        assert!(matches!(
            *second.lock().unwrap(),
            Some(Err(AppendError::Stopped(_)))
        ));
        let disk = disk.after_power_cut(Survivors::None);
        if contains(&disk, 2, size) || !contains(&disk, 3, size) {
            continue;
        }
        tried += 1;
        let store = Store::open(&disk, small()).unwrap();
        assert!(store.engine.recovery().cut_bytes > 0);
        store
            .engine
            .append_blocking(message("orders", 0, 4, size))
            .unwrap();
        let disk = disk.after_power_cut(Survivors::None);
        let store = Store::open(&disk, small()).unwrap();
        assert_eq!(store.messages()[&("orders".into(), 0)], [1, 4]);
    }
    assert!(tried > 3, "only {tried} seeds tore the group as wanted");
}

fn ten_messages(store: &Store) -> Vec<Appended> {
    let append = |number| {
        store
            .engine
            .append_blocking(message("orders", 0, number, 100))
            .unwrap()
    };
    (0..10).map(append).collect()
}

/// Damage that is not a torn tail is reported with its place, and nothing is cut.
#[test]
fn damage_before_a_whole_group_is_reported_not_cut() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let stored = ten_messages(&store);
    let disk = disk.after_kill();
    disk.flip_bit(&segment(), stored[4].position + 150, 3).unwrap();
    let before = disk.content(&segment()).unwrap();
    let error = Store::open(&disk, small()).err().unwrap();
    assert!(
        matches!(&error, OpenError::Corrupt { file, offset, .. } if *file == segment() && *offset == stored[4].position),
        "{error}"
    );
    assert_eq!(disk.content(&segment()).unwrap(), before);
}

/// After a clean stop the records are not read again at the start; a damaged one is found when it is read, and costs no other.
#[test]
fn a_flipped_bit_is_found_on_reading_and_costs_one_record() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let stored = ten_messages(&store);
    store.engine.close().unwrap();
    disk.flip_bit(&segment(), stored[4].position + 150, 3).unwrap();
    let store = Store::open(&disk, small()).unwrap();
    for (at, stored) in stored.iter().enumerate() {
        match store.engine.read(stored.position, stored.size_bytes) {
            Ok(_) => assert_ne!(at, 4),
            Err(ReadError::Corrupt { offset, .. }) => assert_eq!((at, offset), (4, stored.position)),
            Err(error) => panic!("{error}"),
        }
    }
    let mut entries = Vec::new();
    store.engine.entries("orders", 0, 0, 10, &mut entries);
    let mut records = Vec::new();
    let error = store.engine.read_many(&entries, &mut records).unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
    assert_eq!(records.len(), 4, "those before it");
    store.engine.read_many(&entries[5..], &mut records).unwrap();
    assert_eq!(records.len(), 9, "those behind it");
}

/// Groups that follow each other at once: when one fails, those before it count and none after it is written.
#[test]
fn a_failed_group_ends_the_log_for_those_that_would_follow_it() {
    let options = Options {
        group_size_bytes_max: 4096,
        ..small()
    };
    for (failing, tear) in [
        (0, Tear::All),
        (1, Tear::None),
        (2, Tear::Random(3)),
        (3, Tear::All),
    ] {
        let disk = SimDisk::new();
        let store = Store::open(&disk, options.clone()).unwrap();
        store
            .engine
            .append_blocking(message("orders", 0, 10, 100))
            .unwrap();
        let outcomes: Vec<_> = (0..5)
            .map(|number| store.append(message("orders", 0, number, 3000)))
            .collect();
        let before = disk.operations();
        disk.fail_at(before + failing, rustix::io::Errno::IO, tear);
        store.engine.pump();
        assert_eq!(
            disk.operations(),
            before + failing + 1,
            "nothing after the failed one"
        );
        for (number, outcome) in (0..).zip(outcomes) {
            let outcome = outcome.lock().unwrap().take().unwrap();
            assert_eq!(outcome.is_ok(), number < failing, "{number}: {outcome:?}");
        }
        let acknowledged: Vec<u64> = std::iter::once(10).chain(0..failing).collect();
        assert_eq!(store.messages()[&("orders".into(), 0)], acknowledged);
        let store = Store::open(&disk.after_power_cut(Survivors::None), options.clone()).unwrap();
        assert!(store.messages()[&("orders".into(), 0)].starts_with(&acknowledged));
    }
}

/// The disk takes a group, says that it failed, and would take the next: the answer stays no until the store is reopened.
#[test]
fn a_failed_write_stops_the_log_until_it_is_reopened() {
    for tear in [Tear::None, Tear::All, Tear::Random(5)] {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        store
            .engine
            .append_blocking(message("orders", 0, 1, 100))
            .unwrap();
        disk.fail_at(disk.operations(), rustix::io::Errno::IO, tear);
        for number in 2..5 {
            let error = store
                .engine
                .append_blocking(message("orders", 0, number, 100))
                .unwrap_err();
            assert!(matches!(error, AppendError::Stopped(_)), "{error}");
        }
        assert!(matches!(store.engine.health(), Health::Stopped(_)));
        assert_eq!(store.messages()[&("orders".into(), 0)], [1], "reads go on");
        assert!(store.engine.close().is_err());
        drop(store);
        let store = Store::open(&disk.after_power_cut(Survivors::None), small()).unwrap();
        let messages = store.messages();
        assert!(
            [&[1][..], &[1, 2]].contains(&messages[&("orders".into(), 0)].as_slice()),
            "{messages:?}"
        );
        store
            .engine
            .append_blocking(message("orders", 0, 9, 100))
            .unwrap();
    }
}

/// A relaxed log answers before it syncs. When a sync fails its bytes may be gone, whatever a later sync says: the log stops.
#[test]
fn a_failed_sync_stops_a_relaxed_log() {
    let options = || Options {
        flush: kourou_engine::Flush::Relaxed,
        ..small()
    };
    // Fills a segment and rolls to the next; the sync of the first one follows.
    let run = |disk: &SimDisk| {
        let store = Store::open(disk, options()).unwrap();
        let mut stored = 0;
        while store.engine.segment_count() < 2 {
            store
                .engine
                .append_blocking(message("orders", 0, stored, 5_000))
                .unwrap();
            stored += 1;
        }
        (store, stored)
    };
    let dry = SimDisk::new();
    run(&dry);
    let trace = dry.trace();
    let second = dir().join("log").join("00000000000000065536");
    let rolled = trace
        .iter()
        .position(|op| *op == Op::Create { path: second.clone() })
        .unwrap();
    let is_sync = |op: &Op| *op == Op::Sync { path: segment() };
    let sync = rolled + trace[rolled..].iter().position(is_sync).unwrap();

    let disk = SimDisk::new();
    disk.fail_sync_once_dropping(sync as u64);
    let (store, stored) = run(&disk);
    let error = store
        .engine
        .append_blocking(message("orders", 0, stored, 100))
        .unwrap_err();
    assert!(matches!(error, AppendError::Stopped(_)), "{error}");
    assert!(store.engine.close().is_err());
    drop(store);
    let store = Store::open(&disk.after_power_cut(Survivors::None), options()).unwrap();
    let messages = store.messages().remove(&("orders".into(), 0)).unwrap_or_default();
    assert!(
        messages.iter().copied().eq(0..messages.len() as u64),
        "a whole beginning: {messages:?}"
    );
    store
        .engine
        .append_blocking(message("orders", 0, 1_000, 100))
        .unwrap();
}

/// A group's write fails, and what it wrote can be read all the same, as a page cache or a disk's own memory shows it. Whoever restarts
/// then must not build on it: it is written again before anything is kept behind it.
#[test]
fn what_a_failed_write_left_in_memory_is_written_again() {
    for relaxed in [false, true] {
        let options = || Options {
            flush: if relaxed {
                kourou_engine::Flush::Relaxed
            } else {
                kourou_engine::Flush::Durable
            },
            ..small()
        };
        let mut disk = SimDisk::new();
        let mut kept = Vec::new();
        let mut next = 0;
        for _ in 0..3 {
            let store = Store::open(&disk, options()).unwrap();
            for _ in 0..3 {
                store
                    .engine
                    .append_blocking(message("orders", 0, next, 3000))
                    .unwrap();
                kept.push(next);
                next += 1;
            }
            disk.fail_sync_once_dropping(disk.operations());
            if relaxed {
                store.engine.close().unwrap_err();
            } else {
                let error = store
                    .engine
                    .append_blocking(message("orders", 0, next, 3000))
                    .unwrap_err();
                assert!(matches!(error, AppendError::Stopped(_)), "{error}");
                // It may be there, as nobody was told that it is not; and here it can be read.
                kept.push(next);
                next += 1;
            }
            disk = disk.after_kill();
        }
        let store = Store::open(&disk, options()).unwrap();
        assert_eq!(store.messages()[&("orders".into(), 0)], kept);
        drop(store);
        // What an open has shown is durable.
        let store = Store::open(&disk.after_power_cut(Survivors::None), options()).unwrap();
        assert_eq!(
            store.messages()[&("orders".into(), 0)],
            kept,
            "relaxed: {relaxed}"
        );
    }
}

/// The open clears what a torn group left, and the sync of that fails. The next open sees zeros; the disk must have them, too.
#[test]
fn what_was_cleared_and_not_synced_is_cleared_again() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    store
        .engine
        .append_blocking(message("orders", 0, 1, 100))
        .unwrap();
    disk.crash_at(disk.operations(), Tear::Without(0));
    let _ = store.append(message("orders", 0, 2, 3_000));
    let _ = store.append(message("orders", 0, 3, 3_000));
    store.engine.pump();
    let disk = disk.after_power_cut(Survivors::None);
    assert!(contains(&disk, 3, 3_000), "the tear leaves the second");
    // Which operation the sync of the zeros is: the first after they were written.
    let dry = disk.after_kill();
    Store::open(&dry, small()).unwrap();
    let is_write = |op: &Op| matches!(op, Op::Write { path, .. } if *path == segment());
    let cleared = dry.trace().iter().position(is_write).unwrap();
    let is_sync = |op: &Op| *op == Op::Sync { path: segment() };
    let sync = cleared + dry.trace()[cleared..].iter().position(is_sync).unwrap();
    disk.fail_sync_once_dropping(sync as u64);
    assert!(Store::open(&disk, small()).is_err());
    let disk = disk.after_kill();
    let store = Store::open(&disk, small()).unwrap();
    assert!(store.engine.recovery().cut_bytes > 0);
    drop(store);
    assert!(!contains(&disk.after_power_cut(Survivors::None), 3, 3_000));
}

/// A full disk refuses messages, takes state records from its reserve, serves reads, and recovers by itself.
#[test]
fn a_full_disk_is_not_the_end() {
    let disk = SimDisk::new();
    let options = || Options {
        segment_size_bytes: 8 << 20,
        ..small()
    };
    let store = Store::open(&disk, options()).unwrap();
    store
        .engine
        .append_blocking(message("orders", 0, 0, 100))
        .unwrap();
    disk.set_capacity_bytes(4 << 20);
    let mut stored = 1;
    let error = loop {
        match store.engine.append_blocking(message("orders", 0, stored, 50_000)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000, "the disk never filled");
    };
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert!(matches!(store.engine.health(), Health::Full));
    for number in 0..20 {
        store.engine.append_blocking(state_record(number)).unwrap();
    }
    assert_eq!(store.messages()[&("orders".into(), 0)].len() as u64, stored);
    assert!(
        store
            .engine
            .append_blocking(message("orders", 0, stored, 50_000))
            .is_err()
    );
    disk.set_capacity_bytes(u64::MAX);
    store
        .engine
        .append_blocking(message("orders", 0, stored, 50_000))
        .unwrap();
    assert!(matches!(store.engine.health(), Health::Running));
    drop(store);
    let store = Store::open(&disk.after_power_cut(Survivors::None), options()).unwrap();
    assert_eq!(store.messages()[&("orders".into(), 0)].len() as u64, stored + 1);
    assert_eq!(store.view.applied.lock().unwrap().len(), 20);
}

/// An index file that is gone or damaged is made again from its segment, at the open or when it is used.
#[test]
fn an_index_file_is_never_more_than_an_optimisation() {
    let fill = || {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        for number in 0..200 {
            store
                .engine
                .append_blocking(message("orders", (number % 3) as u32, number, 1000))
                .unwrap();
        }
        store.engine.close().unwrap();
        let messages = store.messages();
        assert!(store.engine.segment_count() >= 3);
        (disk, messages)
    };
    let index = |name: &str| dir().join("index").join(name);
    type Spoil = fn(&SimDisk, &Path);
    let spoil: [(&str, Spoil); 3] = [
        ("gone", |disk, path| {
            kourou_engine::disk::Disk::remove(disk, path).unwrap()
        }),
        ("header", |disk, path| disk.flip_bit(path, 20, 1).unwrap()),
        ("entries", |disk, path| {
            let size = disk.content(path).unwrap().len() as u64;
            disk.flip_bit(path, size - 10, 1).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        let (disk, messages) = fill();
        spoil(&disk, &index("00000000000000065536"));
        let store = Store::open(&disk, small()).unwrap();
        assert_eq!(store.messages(), messages, "{what}");
        assert_eq!(
            store.engine.recovery().rebuilt_indexes,
            u64::from(what != "entries"),
            "{what}"
        );
        store.engine.close().unwrap();
        let store = Store::open(&disk, small()).unwrap();
        assert_eq!(
            (store.messages(), store.engine.recovery().rebuilt_indexes),
            (messages, 0),
            "{what}"
        );
    }
}

/// Without any checkpoint, everything comes back from the log.
#[test]
fn checkpoints_are_never_more_than_an_optimisation() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    for number in 0..200 {
        store
            .engine
            .append_blocking(message("orders", (number % 3) as u32, number, 1000))
            .unwrap();
        store.engine.append_blocking(state_record(number)).unwrap();
    }
    store.engine.close().unwrap();
    let messages = store.messages();
    for name in ["checkpoint.0", "checkpoint.1"] {
        let size = disk.content(&dir().join(name)).unwrap().len() as u64;
        disk.flip_bit(&dir().join(name), size / 2, 0).unwrap();
    }
    let store = Store::open(&disk, small()).unwrap();
    assert_eq!(store.messages(), messages);
    assert_eq!(store.view.applied.lock().unwrap().len(), 200);
}
