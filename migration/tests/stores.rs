//! Stores of an Apache broker made by hand, byte for byte, and what becomes of them: whole ones, torn ones, damaged ones.

#![allow(clippy::unwrap_used, reason = "tests")]

mod apache;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use apache::{Message, Store};
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::record::RecordView;
use kourou_engine::{Engine, NoView, OpenError, Options, QueueRange};
use kourou_migration::{ExportOptions, ImportOptions, MigrationError, Report, export, import};

/// Body and store time of each message, by topic, queue and offset.
type Content = BTreeMap<(String, u32, u64), (Vec<u8>, i64)>;

fn open(dir: &Path) -> Result<Engine, OpenError> {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    Engine::open(Options::new(dir), disk, Arc::new(SystemClock), Arc::new(NoView))
}

fn content(dir: &Path) -> (Content, BTreeMap<(String, u32), QueueRange>) {
    let engine = open(dir).unwrap();
    let (mut content, mut ranges) = (Content::new(), BTreeMap::new());
    for (topic, queue_id, range) in engine.queues() {
        ranges.insert((topic.to_string(), queue_id), range);
        let mut entries = Vec::new();
        engine.entries(&topic, queue_id, range.min, 1_000, &mut entries);
        for entry in entries {
            let bytes = engine.read(entry.position, entry.size_bytes).unwrap();
            let record = RecordView::parse(&bytes).unwrap();
            let place = (topic.to_string(), queue_id, record.queue_offset());
            content.insert(place, (record.body().to_vec(), record.store_ms()));
        }
    }
    // Not closed: its checkpoint would know nothing of what the records mean.
    (content, ranges)
}

/// A store with a topic of two queues: one begins at 500, one is empty and goes on at 77.
fn usual() -> Store {
    let mut store = Store::new(1 << 20, 3 << 20);
    store.topic("orders", 2);
    for offset in 500..520 {
        store.append(&Message::new("orders", 0, offset));
    }
    store.queue_end("orders", 1, 77);
    store
}

fn carry(store: &Store) -> (tempfile::TempDir, Result<Report, MigrationError>) {
    let target = tempfile::tempdir().unwrap();
    let report = import(&ImportOptions::new(store.dir(), target.path()), &mut ());
    (target, report)
}

#[test]
fn queues_go_on_where_they_were_and_the_source_stays_as_it_is() {
    let mut store = usual();
    store.offset("orders", "readers", 0, 510);
    let before = store.files();
    let (target, report) = carry(&store);
    let report = report.unwrap();
    assert_eq!(store.files(), before);
    assert_eq!((report.messages, report.topics, report.groups), (20, 1, 1));
    assert_eq!((report.offsets, report.moved_queues), (1, 2));
    assert!(report.lost.is_empty() && report.over.is_empty(), "{report:?}");
    let (content, ranges) = content(target.path());
    let wanted: Content = (500..520)
        .map(|offset| {
            let message = Message::new("orders", 0, offset);
            let place = ("orders".to_owned(), 0, offset);
            (place, (message.body.clone(), message.store_ms))
        })
        .collect();
    assert_eq!(content, wanted);
    let range = |queue_id| ranges[&("orders".to_owned(), queue_id)];
    assert_eq!(range(0), QueueRange { min: 500, max: 520 });
    assert_eq!(range(1), QueueRange { min: 77, max: 77 });
}

#[test]
fn files_of_any_size_roll_with_a_blank() {
    let mut store = Store::new(4_096, 0);
    store.topic("orders", 1);
    for offset in 0..100 {
        store.append(&Message::new("orders", 0, offset));
    }
    assert!(store.file_count() > 3);
    let (target, report) = carry(&store);
    assert_eq!(report.unwrap().messages, 100);
    assert_eq!(content(target.path()).0.len(), 100);
    // A file in the middle is gone.
    store.remove_file(1);
    let (target, report) = carry(&store);
    let error = report.unwrap_err();
    let MigrationError::MissingFile { expected, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(expected, 4_096);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_torn_end_is_cut_and_damage_is_reported_with_its_place() {
    let store = usual();
    let end = store.end();
    store.overwrite(end, b"half of a record");
    let (target, report) = carry(&store);
    let report = report.unwrap();
    assert_eq!((report.messages, report.cut_bytes), (20, 16));
    assert_eq!(content(target.path()).0.len(), 20);

    // Each field of a record in the middle; its position is the ninth.
    let place = store.place_of(5);
    for at in [0, 4, 8, 31, 40, 88] {
        let store = usual();
        store.flip(place + at);
        let before = store.files();
        let (target, report) = carry(&store);
        // Of the fields only the sizes, the position and what the body's checksum covers are covered by anything.
        if at == 40 {
            report.unwrap();
            continue;
        }
        let error = report.unwrap_err();
        let MigrationError::Damaged {
            file,
            offset,
            next_offset,
            ..
        } = &error
        else {
            panic!("byte {at}: {error}");
        };
        assert_eq!((file, *offset), (&store.file(0), place), "byte {at}");
        assert!(*next_offset > place, "byte {at}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "byte {at}");
        assert_eq!(store.files(), before);

        let mut options = ImportOptions::new(store.dir(), target.path());
        options.until_damage = true;
        let report = import(&options, &mut ()).unwrap();
        assert_eq!(report.messages, 5, "byte {at}");
        assert!(report.damage.is_some());
    }
}

#[test]
fn only_the_last_life_of_a_topic_is_there() {
    let mut store = Store::new(1 << 20, 0);
    store.topic("orders", 1);
    store.topic("again", 1);
    for offset in 0..5 {
        store.append(&Message::new("again", 0, offset));
        store.append(&Message::new("gone", 0, offset));
    }
    for offset in 0..2 {
        store.append(&Message::new("again", 0, offset));
    }
    let (target, report) = carry(&store);
    let report = report.unwrap();
    assert_eq!(report.messages, 2);
    assert_eq!(report.over["messages of topics that were deleted"], 10);
    assert_eq!(content(target.path()).0.len(), 2);

    store.append(&Message::new("again", 0, 9));
    let error = carry(&store).1.unwrap_err();
    let MigrationError::Hole { expected, found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (2, 9));
}

#[test]
fn what_waits_is_carried_over_and_what_is_over_is_not() {
    let mut store = Store::new(1 << 20, 0);
    store.topic("orders", 1);
    store.config("delayOffset.json", r#"{"offsetTable":{2:1}}"#);
    let with = |topic: &str, queue_id, offset, properties: &str| {
        let real = "REAL_TOPIC\x01orders\x02REAL_QID\x010\x02";
        Message {
            properties: format!("{real}{properties}"),
            ..Message::new(topic, queue_id, offset)
        }
    };
    for offset in 0..3 {
        store.append(&with("SCHEDULE_TOPIC_XXXX", 1, offset, "DELAY\x012\x02"));
    }
    let timer = |offset, key: &str, due_ms: i64| {
        let properties = format!("UNIQ_KEY\x01{key}\x02TIMER_OUT_MS\x01{due_ms}\x02");
        with("rmq_sys_wheel_timer", 0, offset, &properties)
    };
    // Delivered; waits; the same once more, as the wheel puts it there; due, but not yet taken in.
    store.timer_check(1_000_000, 3);
    for message in [
        timer(0, "a", 999_000),
        timer(1, "b", 9_000_000),
        timer(2, "b", 9_000_000),
        timer(3, "c", 5),
    ] {
        store.append(&message);
    }
    let half = |offset, key: &str| {
        let properties = format!("UNIQ_KEY\x01{key}\x02PGROUP\x01producers\x02TRAN_MSG\x01true\x02");
        with("RMQ_SYS_TRANS_HALF_TOPIC", 0, offset, &properties)
    };
    // Ended by its offset; ended under an earlier offset; pending, and asked for.
    for message in [
        half(0, "x"),
        half(1, "y"),
        half(2, "z"),
        half(3, "y"),
        half(4, "z"),
    ] {
        store.append(&message);
    }
    store.append(&Message {
        body: b"0,1,".to_vec(),
        ..Message::new("RMQ_SYS_TRANS_OP_HALF_TOPIC", 0, 0)
    });
    let (target, report) = carry(&store);
    let report = report.unwrap();
    assert_eq!((report.timers, report.half_messages, report.messages), (4, 1, 0));
    // One by its level, one by the wheel, and one that is there twice.
    assert_eq!(report.over["timers and delays that were delivered"], 3);
    assert_eq!(report.over["half messages that were ended"], 4);
    let (content, _) = content(target.path());
    assert_eq!(
        content
            .keys()
            .filter(|place| place.0 == "SCHEDULE_TOPIC_XXXX")
            .count(),
        2
    );
    assert_eq!(
        content
            .keys()
            .filter(|place| place.0 == "rmq_sys_wheel_timer")
            .count(),
        2
    );

    // There and back: what waits still does.
    let there = tempfile::tempdir().unwrap();
    let exported = export(&ExportOptions::new(target.path(), there.path()), &mut ()).unwrap();
    assert_eq!((exported.timers, exported.half_messages), (4, 1));
    let back = tempfile::tempdir().unwrap();
    let report = import(&ImportOptions::new(there.path(), back.path()), &mut ()).unwrap();
    assert_eq!((report.timers, report.half_messages, report.messages), (4, 1, 0));
}

#[test]
fn there_and_back_every_offset_is_what_it_was() {
    let mut store = usual();
    store.topic("other", 1);
    for offset in 0..30 {
        store.append(&Message::new("other", 0, offset));
    }
    store.offset("orders", "readers", 0, 510);
    let (target, report) = carry(&store);
    report.unwrap();
    let there = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(target.path(), there.path());
    // So that it rolls.
    options.file_size_bytes = 4_096;
    let exported = export(&options, &mut ()).unwrap();
    assert_eq!((exported.messages, exported.offsets), (50, 1));
    assert!(fs::read_dir(there.path().join("commitlog")).unwrap().count() > 1);
    let back = tempfile::tempdir().unwrap();
    let report = import(&ImportOptions::new(there.path(), back.path()), &mut ()).unwrap();
    assert_eq!((report.messages, report.offsets, report.moved_queues), (50, 1, 2));
    let (first, second) = (content(target.path()), content(back.path()));
    assert_eq!(first, second);
    // Nothing is exported into what is there.
    let error = export(&options, &mut ()).unwrap_err();
    assert!(matches!(error, MigrationError::NotEmpty { .. }), "{error}");
}

#[test]
fn half_of_an_import_begins_anew_and_anything_else_is_left_alone() {
    let store = usual();
    let target = tempfile::tempdir().unwrap();
    let mut options = Options::new(target.path());
    options.importing = true;
    let disk = Arc::new(StdDisk::new(target.path(), WriterKind::Auto));
    drop(Engine::open(options, disk, Arc::new(SystemClock), Arc::new(NoView)).unwrap());
    let error = open(target.path()).unwrap_err();
    assert!(matches!(error, OpenError::HalfImported { .. }), "{error}");
    let again = ImportOptions::new(store.dir(), target.path());
    assert_eq!(import(&again, &mut ()).unwrap().messages, 20);
    assert_eq!(content(target.path()).0.len(), 20);
    // Now it is a store.
    let error = import(&again, &mut ()).unwrap_err();
    assert!(matches!(error, MigrationError::NotEmpty { .. }), "{error}");
    assert_eq!(content(target.path()).0.len(), 20);
}

#[test]
fn other_forms_are_refused_with_what_to_do() {
    let store = usual();
    fs::write(store.dir().join("consumequeue/CURRENT"), "MANIFEST-000005\n").unwrap();
    let error = carry(&store).1.unwrap_err();
    assert!(error.to_string().contains("--rebuild-queues"), "{error}");
    let target = tempfile::tempdir().unwrap();
    let mut options = ImportOptions::new(store.dir(), target.path());
    options.rebuild_queues = true;
    assert_eq!(import(&options, &mut ()).unwrap().moved_queues, 1);

    fs::remove_file(store.dir().join("config/topics.json")).unwrap();
    fs::create_dir_all(store.dir().join("config/topics")).unwrap();
    fs::write(store.dir().join("config/topics/CURRENT"), "").unwrap();
    let error = carry(&store).1.unwrap_err();
    assert!(error.to_string().contains("rocksDBConfigToJson"), "{error}");

    let nothing = tempfile::tempdir().unwrap();
    let error = import(&ImportOptions::new(nothing.path(), target.path()), &mut ()).unwrap_err();
    assert!(matches!(error, MigrationError::NotApache { .. }), "{error}");
}
