//! The log in its own order: followed behind its tail, and as it was at one moment.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::time::Duration;

use bytes::Bytes;
use harness::{Store, message, small, state_record};
use kourou_engine::disk::sim::SimDisk;
use kourou_engine::record::{EncodedRecords, Limits, RecordDraft, RecordView};
use kourou_engine::{ReadError, Retention};

/// Appends single messages, batches and state records over several segments. Returns where they lie.
fn fill(store: &Store, rounds: u64) -> Vec<u64> {
    let mut positions = Vec::new();
    for round in 0..rounds {
        let single = message("orders", 0, round, 700);
        positions.push(store.engine.append_blocking(single).unwrap().position);
        let state = store.engine.append_blocking(state_record(round)).unwrap();
        positions.push(state.position);
        let mut records = EncodedRecords::new();
        for queue in 0..3 {
            let draft = RecordDraft::new("batch", queue, b"together");
            records.push(&draft, &Limits::default()).unwrap();
        }
        let (tell, told) = std::sync::mpsc::channel();
        store
            .engine
            .append_batch(records, move |stored| tell.send(stored).unwrap());
        store.engine.pump();
        let stored = told.recv().unwrap().unwrap();
        positions.extend(stored.iter().map(|appended| appended.position));
    }
    positions
}

fn position(record: &Bytes) -> u64 {
    RecordView::parse(record).unwrap().position()
}

#[test]
fn a_follower_sees_every_record_once_and_in_order() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let mut follow = store.engine.follow(0);
    assert_eq!(follow.next(Duration::ZERO).unwrap(), None);
    let mut seen = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..4 {
        expected.extend(fill(&store, 50));
        while let Some(record) = follow.next(Duration::ZERO).unwrap() {
            seen.push(position(&record));
        }
        assert_eq!(seen, expected);
        assert_eq!(follow.position(), store.engine.watermark());
    }
    assert!(store.engine.segment_count() > 2, "over the ends of segments");

    // From the disk as from memory, and from the middle.
    store.engine.close().unwrap();
    let again = Store::open(&disk, small()).unwrap();
    let mut follow = again.engine.follow(expected[100]);
    for wanted in &expected[100..] {
        assert_eq!(position(&follow.next(Duration::ZERO).unwrap().unwrap()), *wanted);
    }
    assert_eq!(follow.next(Duration::ZERO).unwrap(), None);
}

#[test]
fn a_follower_waits_for_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let engine = harness::open_real(dir.path());
    let mut follow = engine.follow(engine.watermark());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || follow.next(Duration::from_secs(60)).unwrap().unwrap());
        let appended = engine.append_blocking(message("orders", 0, 7, 100)).unwrap();
        assert_eq!(position(&waiting.join().unwrap()), appended.position);
    });
    std::thread::scope(|scope| {
        let wait = || engine.wait_for_queue("orders", 5, 1, Duration::from_secs(60));
        let waiting = scope.spawn(wait);
        for (queue, number) in [(5, 0), (4, 1), (5, 2)] {
            engine
                .append_blocking(message("orders", queue, number, 100))
                .unwrap();
        }
        assert!(waiting.join().unwrap());
    });
    assert!(!engine.wait_for_queue("orders", 5, 2, Duration::from_millis(1)));
    engine.close().unwrap();
}

#[test]
fn nobody_follows_from_the_middle_of_a_record() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let positions = fill(&store, 1);
    let mut follow = store.engine.follow(positions[0] + 1);
    let error = follow.next(Duration::ZERO).unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
    follow.skip_to(positions[0]);
    assert_eq!(
        position(&follow.next(Duration::ZERO).unwrap().unwrap()),
        positions[0]
    );
}

#[test]
fn a_snapshot_stays_as_the_log_was() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let then = fill(&store, 150);
    let snapshot = store.engine.snapshot();
    assert_eq!(snapshot.end(), store.engine.watermark());
    let later = fill(&store, 50);
    let mut entries = Vec::new();
    snapshot.entries("orders", 0, 140, 100, &mut entries);
    assert_eq!(entries.len(), 10, "those up to the 150th");

    // What expires meanwhile is still there.
    let (tell, told) = std::sync::mpsc::channel();
    let little = Retention {
        size_bytes_max: Some(1),
        ..Retention::default()
    };
    store
        .engine
        .expire(little, 0, move |expired| tell.send(expired).unwrap());
    store.engine.pump();
    assert!(told.recv().unwrap().unwrap().segments > 0);
    let gone = store.engine.follow(0).next(Duration::ZERO).unwrap_err();
    assert!(matches!(gone, ReadError::Outside { .. }), "{gone}");
    let seen: Vec<u64> = snapshot
        .records()
        .map(|record| position(&record.unwrap()))
        .collect();
    assert_eq!(seen, then);
    let newest = store.engine.snapshot();
    assert!(newest.first_position() > 0);
    let seen: Vec<u64> = newest
        .records()
        .map(|record| position(&record.unwrap()))
        .collect();
    assert!(!seen.is_empty() && [then, later].concat().ends_with(&seen));
}
