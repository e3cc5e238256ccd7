//! A store that is filled from another one: it continues that, or it says that it is half of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use harness::{Store, dir, message, small};
use kourou_engine::disk::Disk;
use kourou_engine::disk::sim::{SimDisk, Survivors, Tear};
use kourou_engine::record::QueueStart;
use kourou_engine::{Appended, Boundary, Engine, NoView, OpenError, Options, QueueRange};

const START: u64 = 500;
const IDLE: u64 = 77;
const MESSAGES: u64 = 14;
/// When the first message was stored in the other store; the clock is at another time.
const STORED_MS: i64 = 400_000;

fn importing() -> Options {
    Options {
        importing: true,
        ..small()
    }
}

fn start(topic: &str, queue_id: u32, offset: u64) -> QueueStart<'_> {
    QueueStart {
        topic,
        queue_id,
        offset,
    }
}

/// Imports two queues, one of which begins at an offset, and one without messages, over several segments. Stops where the disk fails.
fn import(disk: &SimDisk) -> Option<()> {
    let store = Store::open(disk, importing()).ok()?;
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    store.engine.begin_queues(
        &[start("orders", 0, START), start("idle", 1, IDLE)],
        move |outcome| {
            *tell.lock().unwrap() = Some(outcome.is_ok());
        },
    );
    store.engine.pump();
    assert!(told.lock().unwrap().is_some());
    let landed: Arc<Mutex<Vec<Appended>>> = Arc::default();
    for number in 0..MESSAGES {
        let landed = Arc::clone(&landed);
        let queue_id = (number % 2) as u32;
        let stored_ms = STORED_MS + number as i64 * 1_000;
        store.engine.import(
            message("orders", queue_id, number, 10_000),
            stored_ms,
            move |outcome| landed.lock().unwrap().extend(outcome),
        );
        store.engine.pump();
    }
    if landed.lock().unwrap().len() as u64 == MESSAGES {
        for (number, appended) in (0..).zip(landed.lock().unwrap().iter()) {
            let begin = if number % 2 == 0 { START } else { 0 };
            assert_eq!(appended.queue_offset, begin + number / 2);
            assert_eq!(appended.store_ms, STORED_MS + number as i64 * 1_000);
        }
    }
    store.engine.finish_import().ok()
}

fn is_all_there(store: &Store) {
    let evens: Vec<u64> = (0..MESSAGES).filter(|number| number % 2 == 0).collect();
    let odds: Vec<u64> = (0..MESSAGES).filter(|number| number % 2 == 1).collect();
    let wanted = BTreeMap::from([
        (("orders".to_owned(), 0), evens),
        (("orders".to_owned(), 1), odds),
    ]);
    assert_eq!(store.messages_with_keys(), wanted);
    let range = |topic, queue_id| store.engine.queue_range(topic, queue_id);
    let (min, max) = (START, START + MESSAGES / 2);
    assert_eq!(range("orders", 0), Some(QueueRange { min, max }));
    let idle = QueueRange { min: IDLE, max: IDLE };
    assert_eq!(range("idle", 1), Some(idle));
    let by_time = |ms| store.engine.offset_by_time("orders", 0, ms, Boundary::Lower);
    assert_eq!(by_time(STORED_MS + 3_500), Some(START + 2));
}

#[test]
fn what_was_imported_goes_on_where_it_was_also_from_the_log_alone() {
    let disk = SimDisk::new();
    import(&disk).unwrap();
    for without_checkpoints in [false, true] {
        if without_checkpoints {
            for listed in disk.list(&dir()).unwrap() {
                if listed.name.starts_with("checkpoint") {
                    disk.remove(&dir().join(listed.name)).unwrap();
                }
            }
            for listed in disk.list(&dir().join("index")).unwrap() {
                disk.remove(&dir().join("index").join(listed.name)).unwrap();
            }
        }
        let store = Store::open(&disk, small()).unwrap();
        is_all_there(&store);
        assert_eq!(store.engine.recovery().replayed_records > 0, without_checkpoints);
        drop(store);
    }
    let store = Store::open(&disk, small()).unwrap();
    let next = store.engine.append_blocking(message("idle", 1, 99, 10)).unwrap();
    assert_eq!(next.queue_offset, IDLE);
    let next = store
        .engine
        .append_blocking(message("orders", 0, 98, 10))
        .unwrap();
    assert_eq!(next.queue_offset, START + MESSAGES / 2);
    // A queue that has begun stays where it is, whatever comes later.
    store.engine.begin_queues(&[start("idle", 1, 5)], |_| {});
    store.engine.pump();
    assert_eq!(store.engine.queue_range("idle", 1).unwrap().max, IDLE + 1);
    store.engine.close().unwrap();
}

#[test]
fn an_import_that_was_interrupted_is_nothing_or_says_that_it_is_half() {
    let whole = SimDisk::new();
    import(&whole).unwrap();
    let (mut nothing, mut half, mut all) = (0, 0, 0);
    for operation in 0..whole.operations() {
        for tear in [Tear::None, Tear::All] {
            let disk = SimDisk::new();
            disk.crash_at(operation, tear);
            let finished = import(&disk).is_some();
            for survivors in [Survivors::None, Survivors::All] {
                let after = disk.after_power_cut(survivors);
                match Store::open(&after, small()) {
                    Ok(store) if store.engine.queues().is_empty() => {
                        assert!(!finished, "what was finished is there");
                        nothing += 1;
                    }
                    Ok(store) => {
                        is_all_there(&store);
                        all += 1;
                    }
                    Err(OpenError::HalfImported { dir: named }) => {
                        assert!(!finished, "what was finished opens");
                        assert_eq!(named, dir());
                        half += 1;
                    }
                    Err(error) => panic!("at operation {operation}: {error}"),
                }
            }
        }
    }
    assert!(nothing > 0 && half > 20 && all > 0, "{nothing} {half} {all}");
}

#[test]
fn a_store_that_is_there_is_not_imported_into() {
    let disk = SimDisk::new();
    Store::open(&disk, small()).unwrap().engine.close().unwrap();
    let refused = Store::open(&disk, importing()).err().unwrap();
    assert!(matches!(refused, OpenError::NotNew { .. }), "{refused}");

    let disk = SimDisk::new();
    import(&disk).unwrap();
    let refused = Store::open(&disk, importing()).err().unwrap();
    assert!(matches!(refused, OpenError::NotNew { .. }), "{refused}");
    // And half of one is not opened by anybody else.
    let disk = SimDisk::new();
    drop(Store::open(&disk, importing()).unwrap());
    let opened = Engine::open(
        small(),
        Arc::new(disk),
        Arc::new(kourou_engine::clock::ManualClock::new(0)),
        Arc::new(NoView),
    );
    assert!(matches!(opened, Err(OpenError::HalfImported { .. })));
}
