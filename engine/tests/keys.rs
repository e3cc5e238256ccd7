//! Finding records by their keys: what is found, in which order, how much of it, and what damage does to it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::BTreeMap;

use harness::{SHARED_KEY, Store, body, dir, message, small, with_key};
use kourou_engine::disk::sim::{SimDisk, Survivors};
use kourou_engine::disk::{Disk, OpenMode};
use kourou_engine::record::{
    KEYS_PER_RECORD_MAX, KeyKind, RecordDraft, SYS_FLAG_TRANSACTION_PREPARED, SYS_FLAG_TRANSACTION_ROLLBACK,
};
use kourou_engine::{KeyQuery, LastKey};
use proptest::prelude::*;

/// A store of some segments, a message a millisecond.
fn filled(disk: &SimDisk, count: u64) -> Store {
    let store = Store::open(disk, small()).unwrap();
    for number in 0..count {
        store.clock.set(10_000 + number as i64);
        store
            .engine
            .append_blocking(message("orders", (number % 3) as u32, number, 700))
            .unwrap();
    }
    store
}

fn newest_first(numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers.rev().collect()
}

#[test]
fn the_newest_come_first_and_no_more_than_asked_for() {
    let store = filled(&SimDisk::new(), 400);
    assert!(store.engine.segment_count() > 4);
    let all = with_key("orders", SHARED_KEY);
    assert_eq!(store.numbers_with_key(&all), newest_first(0..400));
    let some = KeyQuery {
        records_max: 7,
        ..all
    };
    assert_eq!(store.numbers_with_key(&some), newest_first(393..400));
    let looks = KeyQuery { looks_max: 9, ..all };
    assert_eq!(store.numbers_with_key(&looks), newest_first(391..400));
    let bytes = KeyQuery {
        size_bytes_max: 1_500,
        ..all
    };
    assert_eq!(store.numbers_with_key(&bytes), newest_first(398..400));
    assert_eq!(store.numbers_with_key(&with_key("orders", "id-17")), [17]);
    for (topic, key) in [
        ("payments", "id-17"),
        ("orders", "id-400"),
        ("orders", ""),
        ("orders", "all "),
    ] {
        assert_eq!(
            store.numbers_with_key(&with_key(topic, key)),
            [0; 0],
            "{topic} {key}"
        );
    }
    let unique = KeyQuery {
        kind: KeyKind::Unique,
        ..all
    };
    assert_eq!(store.numbers_with_key(&unique), [0; 0]);
    let LastKey { position, store_ms } = store.engine.last_key();
    assert_eq!(store_ms, 10_399);
    let last = store.engine.find_by_key(&some).remove(0);
    assert_eq!(store.engine.read_at(position).unwrap(), last);
}

#[test]
fn a_time_range_takes_both_its_ends() {
    let disk = SimDisk::new();
    let store = filled(&disk, 400);
    let check = |store: &Store, begin: u64, end: u64| {
        let query = KeyQuery {
            begin_ms: 10_000 + begin as i64,
            end_ms: 10_000 + end as i64,
            ..with_key("orders", SHARED_KEY)
        };
        let expected = newest_first(begin..(end + 1).min(400));
        assert_eq!(store.numbers_with_key(&query), expected, "{begin} to {end}");
    };
    for reopened in [false, true] {
        let again;
        let store = if reopened {
            store.engine.close().unwrap();
            again = Store::open(&disk, small()).unwrap();
            &again
        } else {
            &store
        };
        for (begin, end) in [
            (0, 0),
            (0, 399),
            (399, 399),
            (399, 1_000),
            (57, 311),
            (1, 90),
            (200, 200),
        ] {
            check(store, begin, end);
        }
    }
}

#[test]
fn half_messages_have_keys_rolled_back_ones_have_none_and_none_has_too_many() {
    let store = Store::open(&SimDisk::new(), small()).unwrap();
    let append = |sys_flag, properties: &[u8], number| {
        let content = body(number, 20);
        let record = RecordDraft {
            sys_flag,
            properties,
            ..RecordDraft::new("orders", 0, &content)
        };
        store.engine.append_blocking(record.encode().unwrap()).unwrap();
    };
    append(SYS_FLAG_TRANSACTION_PREPARED, b"UNIQ_KEY\x01a\x02", 1);
    append(SYS_FLAG_TRANSACTION_ROLLBACK, b"UNIQ_KEY\x01b\x02", 2);
    let many: Vec<_> = (0..KEYS_PER_RECORD_MAX + 3).map(|key| key.to_string()).collect();
    append(0, format!("KEYS\x01{}", many.join(" ")).as_bytes(), 3);
    let found = |key: &str| store.numbers_with_key(&with_key("orders", key));
    assert_eq!(found("a"), [1]);
    assert_eq!(found("b"), [0; 0]);
    assert_eq!(found("0"), [3]);
    assert_eq!(found(&(KEYS_PER_RECORD_MAX - 1).to_string()), [3]);
    assert_eq!(found(&KEYS_PER_RECORD_MAX.to_string()), [0; 0]);
}

fn index_file(disk: &SimDisk, at: usize) -> std::path::PathBuf {
    let mut names: Vec<_> = disk
        .list(&dir().join("index"))
        .unwrap()
        .into_iter()
        .map(|listed| listed.name)
        .collect();
    names.sort();
    dir().join("index").join(&names[at])
}

/// Whatever byte of an index file is damaged, whether it is found at the open or by a look-up: the keys are found as before.
#[test]
fn a_damaged_index_file_is_made_again() {
    let disk = SimDisk::new();
    filled(&disk, 400).engine.close().unwrap();
    let path = index_file(&disk, 1);
    let size = disk.open(&path, OpenMode::Read).unwrap().size_bytes().unwrap();
    for at in (0..size).step_by(211).chain([8, size - 1]) {
        let damaged = disk.after_power_cut(Survivors::All);
        let file = damaged.open(&path, OpenMode::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 0x10], at).unwrap();
        file.sync().unwrap();
        let store = Store::open(&damaged, small()).unwrap();
        let found = store.numbers_with_key(&with_key("orders", SHARED_KEY));
        assert_eq!(found, newest_first(0..400), "byte {at}");
        store.messages_with_keys();
    }
    disk.remove(&path).unwrap();
    let store = Store::open(&disk, small()).unwrap();
    assert_eq!(store.engine.recovery().rebuilt_indexes, 1);
    store.messages_with_keys();
}

/// A record that rotted is left out; it hides no other.
#[test]
fn a_damaged_record_hides_no_other() {
    let disk = SimDisk::new();
    let store = filled(&disk, 200);
    let position = {
        let mut entries = Vec::new();
        store.engine.entries("orders", 2, 5, 1, &mut entries);
        entries[0].position
    };
    store.engine.close().unwrap();
    let file = disk
        .open(&dir().join("log").join(format!("{:020}", 0)), OpenMode::ReadWrite)
        .unwrap();
    file.write_at(&[0xAA; 16], position + 100).unwrap();
    file.sync().unwrap();
    let store = Store::open(&disk, small()).unwrap();
    let mut expected = newest_first(0..200);
    expected.retain(|number| *number != 17);
    assert_eq!(store.numbers_with_key(&with_key("orders", SHARED_KEY)), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Random messages with random keys, closes and kills between them: a model that keeps them all agrees with every query.
    #[test]
    fn a_model_finds_the_same(
        lives in prop::collection::vec(
            (prop::collection::vec((0..3_u8, prop::collection::vec(0..6_u8, 0..4), 0..900_usize), 0..60), any::<bool>()),
            1..4,
        ),
        range in (0..200_i64, 0..200_i64),
        max in 1..20_usize,
    ) {
        let mut disk = SimDisk::new();
        let mut model: BTreeMap<(u8, u8), Vec<(i64, u64)>> = BTreeMap::new();
        let mut number = 0;
        for (messages, close) in lives {
            let store = Store::open(&disk, small()).unwrap();
            for (topic, keys, size) in messages {
                let now_ms = 10_000 + number as i64;
                store.clock.set(now_ms);
                let names: Vec<_> = keys.iter().map(|key| format!("k{key}")).collect();
                let properties = format!("KEYS\x01{}\x02", names.join(" "));
                let (topic_name, content) = (format!("t{topic}"), body(number, size));
                let record = RecordDraft {
                    properties: properties.as_bytes(),
                    ..RecordDraft::new(&topic_name, 0, &content)
                };
                store.engine.append_blocking(record.encode().unwrap()).unwrap();
                let keys: std::collections::BTreeSet<_> = keys.into_iter().collect();
                for key in keys {
                    model.entry((topic, key)).or_default().push((now_ms, number));
                }
                number += 1;
            }
            let (begin_ms, end_ms) = (10_000 + range.0.min(range.1), 10_000 + range.0.max(range.1));
            for topic in 0..3 {
                for key in 0..6 {
                    let (topic_name, key_name) = (format!("t{topic}"), format!("k{key}"));
                    let expected: Vec<_> = model
                        .get(&(topic, key))
                        .into_iter()
                        .flatten()
                        .rev()
                        .filter(|(ms, _)| (begin_ms..=end_ms).contains(ms))
                        .map(|(_, number)| *number)
                        .take(max)
                        .collect();
                    let query = KeyQuery { begin_ms, end_ms, records_max: max, ..with_key(&topic_name, &key_name) };
                    let found = store.numbers_with_key(&query);
                    prop_assert_eq!(found, expected);
                }
            }
            if close {
                store.engine.close().unwrap();
            } else {
                disk = disk.after_power_cut(Survivors::None);
            }
        }
    }
}
