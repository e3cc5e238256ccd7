//! Scrubbing: damage that nobody reads is told, once, and within the time that the pace says.

#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::{Arc, Mutex};

use harness::{Store, dir, message, small};
use kourou_engine::disk::sim::SimDisk;
use kourou_engine::{ReadError, ScrubError, Scrubbed};

const SEGMENT_SIZE_BYTES: u64 = 64 << 10;

fn filled() -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    for number in 0..700 {
        store.append(message("orders", 0, number, 300));
        store.engine.pump();
    }
    assert!(store.engine.segment_count() >= 5);
    (disk, store)
}

fn scrub(store: &Store, size_bytes_max: u64) -> Result<Scrubbed, ScrubError> {
    let told = Arc::new(Mutex::new(None));
    store.engine.scrub(size_bytes_max, {
        let told = Arc::clone(&told);
        move |outcome| *told.lock().unwrap() = Some(outcome)
    });
    store.engine.pump();
    let outcome = told.lock().unwrap().take();
    outcome.unwrap()
}

#[test]
fn a_sound_log_is_read_from_end_to_end_again_and_again() {
    let (_disk, store) = filled();
    let complete = (store.engine.segment_count() as u64 - 1) * SEGMENT_SIZE_BYTES;
    for _round in 0..2 {
        let (mut looked, mut looks) = (0, 0);
        loop {
            let scrubbed = scrub(&store, 10_000).unwrap();
            assert_eq!(scrubbed.found, []);
            // The last record, and the rest of a segment, may be more than was asked for.
            assert!(scrubbed.looked_bytes <= 10_000 + 2_000, "{scrubbed:?}");
            looked += scrubbed.looked_bytes;
            looks += 1;
            if scrubbed.has_ended {
                break;
            }
        }
        // All but what ends the segments.
        assert!(
            looked <= complete && looked > complete * 9 / 10,
            "{looked} of {complete}"
        );
        assert!(
            looks >= complete / 12_000 && looks <= complete / 10_000 + 2,
            "{looks}"
        );
    }
    assert_eq!(store.engine.damage(), []);
}

#[test]
fn a_flipped_bit_is_found_where_nobody_reads_and_told_once() {
    let (disk, store) = filled();
    // Mapped already: the scrub does not believe the mapping, it reads the disk.
    let file = dir().join(format!("log/{:020}", 2 * SEGMENT_SIZE_BYTES));
    disk.flip_bit(&file, 30_000, 5).unwrap();
    let mut found = Vec::new();
    let mut looks = 0;
    while found.is_empty() {
        found = scrub(&store, 10_000).unwrap().found;
        looks += 1;
        assert!(
            looks <= (2 * SEGMENT_SIZE_BYTES + 30_000) / 10_000 + 1,
            "at this pace it takes no longer"
        );
    }
    let [damage] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(damage.file, file);
    assert!(damage.offset <= 30_000 && 30_000 - damage.offset < 600);
    assert_eq!(damage.position, 2 * SEGMENT_SIZE_BYTES + damage.offset);
    assert!(damage.found.contains("checksum"), "{damage:?}");
    assert_eq!(store.engine.damage(), found);
    // The rest of the log is sound, and the next rounds have nothing new to tell.
    for _ in 0..100 {
        assert_eq!(scrub(&store, 10_000).unwrap().found, []);
    }
    assert_eq!(store.engine.damage(), found);
}

#[test]
fn damage_that_a_reader_meets_is_kept_too() {
    let (disk, store) = filled();
    store.engine.close().unwrap();
    assert_eq!(scrub(&store, 1), Err(ScrubError::Closed));
    drop(store);
    let file = dir().join(format!("log/{:020}", SEGMENT_SIZE_BYTES));
    disk.flip_bit(&file, 20_000, 0).unwrap();
    let store = Store::open(&disk, small()).unwrap();
    let mut entries = Vec::new();
    store.engine.entries("orders", 0, 0, 1_000, &mut entries);
    let mut failed = 0;
    for entry in &entries {
        match store.engine.read(entry.position, entry.size_bytes) {
            Ok(_) => {}
            Err(ReadError::Corrupt { .. }) => failed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((failed, store.engine.damage().len()), (1, 1));
    // A place that no index speaks of is nobody's.
    store.engine.read_at(entries[0].position + 1).unwrap_err();
    assert_eq!(store.engine.damage().len(), 1);
}

#[test]
fn a_block_that_cannot_be_read_is_told_and_the_rest_is_looked_at() {
    let (disk, store) = filled();
    let file = dir().join(format!("log/{:020}", 0));
    disk.spoil(&file, 8_192, 4_096).unwrap();
    disk.flip_bit(&file, 40_000, 1).unwrap();
    let scrubbed = scrub(&store, u64::MAX).unwrap();
    assert!(scrubbed.has_ended);
    let offsets: Vec<u64> = scrubbed.found.iter().map(|damage| damage.offset).collect();
    assert!(
        offsets.first().is_some_and(|at| (7_000..12_288).contains(at)),
        "{offsets:?}"
    );
    assert!(
        offsets.last().is_some_and(|at| (39_000..=40_000).contains(at)),
        "{offsets:?}"
    );
}
