//! What an embedder sees of a store that nothing happens to, on a simulated and on a real disk.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::{Store, message, small, state_record};
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::sim::SimDisk;
use kourou_engine::disk::{Disk, StdDisk, WriterKind};
use kourou_engine::record::{EncodedRecords, Limits, RecordDraft, RecordView};
use kourou_engine::{
    AppendDone, AppendError, Appended, Boundary, Engine, Flush, Health, NoView, OpenError, Options,
    QueueRange, Threads,
};

#[test]
fn what_is_appended_is_readable_by_queue_and_position() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    for number in 0..20 {
        let stored = store
            .engine
            .append_blocking(message("orders", (number % 3) as u32, number, 100))
            .unwrap();
        assert_eq!(stored.queue_offset, number / 3);
        assert!(
            stored.position > 0,
            "the log begins with a mark: 0 can mean no record"
        );
    }
    assert_eq!(store.messages()[&("orders".into(), 1)], [1, 4, 7, 10, 13, 16, 19]);
    assert_eq!(
        store.engine.queue_range("orders", 1),
        Some(QueueRange { min: 0, max: 7 })
    );
    assert_eq!(store.engine.queue_range("orders", 3), None);
}

#[test]
fn nothing_is_told_or_readable_before_it_is_durable() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let outcome = store.append(message("orders", 0, 1, 100));
    assert!(outcome.lock().unwrap().is_none());
    assert_eq!(store.engine.queue_range("orders", 0), None);
    store.engine.pump();
    assert_eq!(outcome.lock().unwrap().take().unwrap().unwrap().queue_offset, 0);
    assert_eq!(
        store.view.arrived.lock().unwrap().as_slice(),
        [("orders".into(), 0, 0)]
    );
    let cut = Store::open(
        &disk.after_power_cut(kourou_engine::disk::sim::Survivors::None),
        small(),
    )
    .unwrap();
    assert_eq!(cut.messages()[&("orders".into(), 0)], [1]);
}

#[test]
fn a_close_and_an_open_change_nothing() {
    let disk = SimDisk::new();
    let mut number = 0;
    let mut before = Default::default();
    for _ in 0..5 {
        let store = Store::open(&disk, small()).unwrap();
        assert_eq!(store.messages(), before);
        assert_eq!(
            store.engine.recovery().replayed_records,
            0,
            "a clean close leaves nothing to replay"
        );
        for _ in 0..60 {
            store
                .engine
                .append_blocking(message("orders", (number % 4) as u32, number, 700))
                .unwrap();
            store.engine.append_blocking(state_record(number)).unwrap();
            number += 1;
        }
        before = store.messages();
        assert_eq!(
            *store.view.applied.lock().unwrap(),
            (0..number).collect::<Vec<_>>()
        );
        store.engine.close().unwrap();
    }
    let store = Store::open(&disk, small()).unwrap();
    assert!(store.engine.segment_count() > 3, "the history crosses segments");
    assert_eq!(store.messages(), before);
    assert_eq!(
        *store.view.applied.lock().unwrap(),
        (0..number).collect::<Vec<_>>()
    );
}

#[test]
fn a_batch_is_contiguous_and_whole() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    for round in 0..30 {
        let records = (0..10)
            .map(|at| message("orders", at % 2, round * 10 + u64::from(at), 300))
            .collect();
        let (sender, receiver) = std::sync::mpsc::channel();
        store
            .engine
            .append_batch(records, move |outcome| sender.send(outcome).unwrap());
        store.engine.pump();
        let stored = receiver.recv().unwrap().unwrap();
        assert_eq!(stored.len(), 10);
        for pair in stored.windows(2) {
            assert_eq!(pair[0].position + u64::from(pair[0].size_bytes), pair[1].position);
        }
    }
    assert!(store.engine.segment_count() > 1);
    assert_eq!(store.messages().values().map(Vec::len).sum::<usize>(), 300);
}

/// A roll waits for nothing: the next segment's file is there, and zeros in it, before the log comes to its place.
#[test]
fn the_next_segment_is_there_before_it_is_needed() {
    let disk = SimDisk::new();
    let options = small();
    let store = Store::open(&disk, options.clone()).unwrap();
    let files = || disk.list(&options.dir.join("log")).unwrap();
    while store.engine.watermark() + options.ahead_size_bytes < options.segment_size_bytes {
        assert_eq!(files().len(), 1);
        store
            .engine
            .append_blocking(message("orders", 0, 0, 1000))
            .unwrap();
    }
    // A step is worth half of what should be ahead.
    for _ in 0..options.ahead_size_bytes / 2 / 1000 {
        store
            .engine
            .append_blocking(message("orders", 0, 0, 1000))
            .unwrap();
    }
    assert_eq!(store.engine.segment_count(), 1);
    assert_eq!(files().len(), 2);
    assert!(files().iter().all(|file| file.size_bytes > 0));
    store.engine.close().unwrap();
    drop(store);

    // A later life makes its own.
    let _store = Store::open(&disk, options.clone()).unwrap();
    assert_eq!(files().len(), 1);
}

/// Keeps what an append gives back.
struct Keeps {
    given_back: std::sync::mpsc::Sender<(Box<Self>, EncodedRecords)>,
    positions: Vec<u64>,
    thread: Option<std::thread::ThreadId>,
}

impl AppendDone for Keeps {
    fn done(mut self: Box<Self>, outcome: Result<&[Appended], AppendError>, records: EncodedRecords) {
        self.positions
            .extend(outcome.unwrap().iter().map(|appended| appended.position));
        self.thread = Some(std::thread::current().id());
        let given_back = self.given_back.clone();
        given_back.send((self, records)).unwrap();
    }
}

#[test]
fn an_append_gives_back_its_memory() {
    let store = Store::open(&SimDisk::new(), small()).unwrap();
    let (given_back, receiver) = std::sync::mpsc::channel();
    let mut keeps = Box::new(Keeps {
        given_back,
        positions: Vec::new(),
        thread: None,
    });
    let mut records = EncodedRecords::new();
    for round in 1..4 {
        for number in 0..3 {
            let body = harness::body(number, 100);
            let draft = RecordDraft::new("orders", 0, &body);
            records.push(&draft, &Limits::default()).unwrap();
        }
        store.engine.append_with(records, keeps);
        store.engine.pump();
        (keeps, records) = receiver.recv().unwrap();
        assert!(records.is_empty());
        assert_eq!(keeps.positions.len(), 3 * round);
    }
    assert!(keeps.positions.is_sorted());
    // Nothing to append is done at once.
    store.engine.append_with(records, keeps);
    assert_eq!(receiver.recv().unwrap().0.positions.len(), 9);
}

/// On an idle log an append is written by the thread that drives it; with more waiting, by the writer's.
#[test]
fn who_drives_an_idle_log_writes_it() {
    let options = Options {
        threads: Threads::Background,
        ..small()
    };
    let store = Store::open(&SimDisk::new(), options).unwrap();
    let me = std::thread::current().id();
    let (given_back, receiver) = std::sync::mpsc::channel();
    let append_and = |count: u64, see_to_it: fn(&Engine)| {
        for number in 0..count {
            let body = harness::body(number, 100);
            let mut records = EncodedRecords::new();
            let draft = RecordDraft::new("orders", 0, &body);
            records.push(&draft, &Limits::default()).unwrap();
            let keeps = Keeps {
                given_back: given_back.clone(),
                positions: Vec::new(),
                thread: None,
            };
            store.engine.enqueue(records, Box::new(keeps));
        }
        see_to_it(&store.engine);
        let given_back = receiver.iter().take(count as usize);
        given_back.map(|(keeps, _)| keeps.thread).collect::<Vec<_>>()
    };
    let append = |count| append_and(count, Engine::drive);
    // The writer is asleep sooner or later.
    while append(1) != [Some(me)] {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(append(100).iter().all(|thread| *thread != Some(me)));
    let handed_over = append_and(1, Engine::hand_over);
    assert!(handed_over.iter().all(|thread| *thread != Some(me)));
    assert!(store.messages()[&("orders".into(), 0)].len() > 100);
    store.engine.close().unwrap();
}

#[test]
fn what_does_not_fit_is_refused_with_its_size() {
    let store = Store::open(&SimDisk::new(), small()).unwrap();
    let error = store
        .engine
        .append_blocking(message("orders", 0, 0, 65 << 10))
        .unwrap_err();
    assert!(
        matches!(
            error,
            AppendError::TooLarge {
                size_bytes: 66_000..=67_000,
                max_bytes: 65_496
            }
        ),
        "{error}"
    );
    store
        .engine
        .append_blocking(message("orders", 0, 0, 65_000))
        .unwrap();
    assert!(matches!(store.engine.health(), Health::Running));
}

#[test]
fn too_much_that_waits_is_refused_at_once() {
    let options = Options {
        pending_size_bytes_max: 1000,
        ..small()
    };
    let store = Store::open(&SimDisk::new(), options).unwrap();
    let first = store.append(message("orders", 0, 0, 600));
    let second = store.append(message("orders", 0, 1, 600));
    assert!(matches!(
        *second.lock().unwrap(),
        Some(Err(AppendError::Busy { max_bytes: 1000, .. }))
    ));
    store.engine.pump();
    assert!(matches!(*first.lock().unwrap(), Some(Ok(_))));
    store
        .engine
        .append_blocking(message("orders", 0, 2, 600))
        .unwrap();
    assert_eq!(store.messages()[&("orders".into(), 0)], [0, 2]);
}

#[test]
fn a_completion_may_append() {
    let store = Store::open(&SimDisk::new(), small()).unwrap();
    let engine = store.engine.clone();
    store.engine.append(message("orders", 0, 0, 10), move |outcome| {
        outcome.unwrap();
        engine.append(message("orders", 0, 1, 10), |outcome| {
            outcome.unwrap();
        });
    });
    store.engine.pump();
    assert_eq!(store.messages()[&("orders".into(), 0)], [0, 1]);
}

#[test]
fn after_a_close_appends_are_refused_and_reads_go_on() {
    let store = Store::open(&SimDisk::new(), small()).unwrap();
    store.engine.append_blocking(message("orders", 0, 0, 10)).unwrap();
    store.engine.close().unwrap();
    store.engine.close().unwrap();
    assert!(matches!(
        store.engine.append_blocking(message("orders", 0, 1, 10)),
        Err(AppendError::Closed)
    ));
    assert_eq!(store.messages()[&("orders".into(), 0)], [0]);
}

#[test]
fn store_times_never_go_back_and_find_their_records() {
    let disk = SimDisk::new();
    let store = Store::open(&disk, small()).unwrap();
    let mut times = Vec::new();
    for number in 0..200 {
        // The clock jumps back now and then.
        store.clock.advance(if number % 7 == 6 { -25 } else { 10 });
        times.push(
            store
                .engine
                .append_blocking(message("orders", 0, number, 1000))
                .unwrap()
                .store_ms,
        );
    }
    assert!(times.is_sorted());
    for probe in [0, times[0], times[50], times[199], times[199] + 1] {
        let lower = times.partition_point(|time| *time < probe) as u64;
        assert_eq!(
            store.engine.offset_by_time("orders", 0, probe, Boundary::Lower),
            Some(lower)
        );
        let upper = times.partition_point(|time| *time <= probe).saturating_sub(1) as u64;
        assert_eq!(
            store.engine.offset_by_time("orders", 0, probe, Boundary::Upper),
            Some(upper)
        );
    }
}

/// The real thing: threads, several producers, then a restart.
#[test]
fn a_real_disk_under_load() {
    for (kind, flush) in [
        (WriterKind::Auto, Flush::Durable),
        (WriterKind::Auto, Flush::Relaxed),
    ] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = || Options {
            flush,
            segment_size_bytes: 1 << 20,
            tail_cache_size_bytes: 64 << 10,
            ..Options::new(dir.path())
        };
        let disk = Arc::new(StdDisk::new(dir.path(), kind));
        let open = || Engine::open(options(), disk.clone(), Arc::new(SystemClock), Arc::new(NoView));
        let engine = open().unwrap();
        std::thread::scope(|scope| {
            for producer in 0..4u64 {
                let engine = &engine;
                scope.spawn(move || {
                    for at in 0..500 {
                        let number = producer * 500 + at;
                        let stored = engine
                            .append_blocking(message("orders", producer as u32, number, 1000))
                            .unwrap();
                        assert_eq!(stored.queue_offset, at);
                    }
                });
            }
        });
        let check = |engine: &Engine| {
            for producer in 0..4u64 {
                let mut entries = Vec::new();
                engine.entries("orders", producer as u32, 0, 1000, &mut entries);
                assert_eq!(entries.len(), 500);
                let mut records = Vec::new();
                engine.read_many(&entries, &mut records).unwrap();
                assert_eq!(records.len(), 500);
                for (entry, at) in entries.iter().zip(0..) {
                    let bytes = engine.read(entry.position, entry.size_bytes).unwrap();
                    assert_eq!(records[at as usize], bytes);
                    let record = RecordView::parse(&bytes).unwrap();
                    assert_eq!(harness::number_of(record.body()), producer * 500 + at);
                }
            }
        };
        check(&engine);
        // Without a close: as a kill leaves it.
        drop(engine);
        let engine = open().unwrap();
        assert!(engine.recovery().replayed_records > 0);
        check(&engine);
        engine.close().unwrap();
        drop(engine);
        let engine = open().unwrap();
        assert_eq!(engine.recovery().replayed_records, 0);
        check(&engine);
    }
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(StdDisk::new(dir.path(), WriterKind::Auto));
    let open = || {
        Engine::open(
            Options::new(dir.path()),
            disk.clone(),
            Arc::new(SystemClock),
            Arc::new(NoView),
        )
    };
    let first = open().unwrap();
    let error = open().unwrap_err();
    assert!(
        matches!(&error, OpenError::Locked { pid, .. } if *pid == std::process::id().to_string()),
        "{error}"
    );
    drop(first);
    open().unwrap();
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let disk = Arc::new(StdDisk::new(dir.path(), WriterKind::Auto));
    let error = Engine::open(
        Options::new(dir.path()),
        disk,
        Arc::new(SystemClock),
        Arc::new(NoView),
    )
    .unwrap_err();
    assert!(
        matches!(&error, OpenError::NotAStore { found, .. } if found == "thesis.tex"),
        "{error}"
    );
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["thesis.tex"]);
}

#[test]
fn a_file_is_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    for path in [path.clone(), path.join("below")] {
        let disk = Arc::new(StdDisk::new(&path, WriterKind::Auto));
        let error =
            Engine::open(Options::new(&path), disk, Arc::new(SystemClock), Arc::new(NoView)).unwrap_err();
        assert!(matches!(&error, OpenError::NotAFolder { .. }), "{error}");
    }
}

#[test]
fn followers_are_woken() {
    let options = Options {
        threads: Threads::Background,
        ..small()
    };
    let store = Store::open(&SimDisk::new(), options).unwrap();
    let engine = store.engine.clone();
    let before = engine.watermark();
    let follower = std::thread::spawn(move || engine.wait_for(before, Duration::from_secs(60)));
    let stored = store.engine.append_blocking(message("orders", 0, 0, 10)).unwrap();
    assert_eq!(
        follower.join().unwrap(),
        stored.position + u64::from(stored.size_bytes)
    );
    store.engine.close().unwrap();
}
