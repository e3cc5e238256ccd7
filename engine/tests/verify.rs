//! A look at a closed store: clean stores are clean however they came about, and what is wrong with others is told.

#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::path::Path;
use std::sync::Arc;

use harness::{Store, append_one_of, dir, message, small};
use kourou_engine::disk::sim::{Harm, Op, SimDisk, Survivors, Tear};
use kourou_engine::disk::{Disk, OpenMode, StdDisk, WriterKind};
use kourou_engine::verify::{ClosedStore, Finding, Kind, Report, Verdict};
use kourou_engine::{Flush, OpenError, Options, Retention};

fn verify(disk: &SimDisk) -> Report {
    let before = disk.operations();
    let closed = ClosedStore::open(Arc::new(disk.clone()), dir()).unwrap();
    let mut last = 0;
    let report = closed
        .verify(&mut |progress| {
            assert!(progress.looked_bytes >= last && progress.looked_bytes <= progress.total_bytes);
            last = progress.looked_bytes;
        })
        .unwrap();
    assert_eq!(last, report.looked_bytes, "the end is told");
    assert_eq!(disk.operations(), before, "a look changes nothing");
    report
}

fn assert_clean(report: &Report) {
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict(), Verdict::Clean);
    assert_eq!(report.looked_bytes, report.total_bytes);
}

/// Appends a few hundred records to several queues, state records and batches between them; segments are left.
fn fill(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        append_one_of(store, 7, number, 900, 300);
        if number % 5 == 0 {
            store.clock.advance(3);
            store.engine.pump();
        }
    }
    store.engine.pump();
}

fn filled(options: Options) -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let store = Store::open(&disk, options).unwrap();
    fill(&store, 0..400);
    assert!(store.engine.segment_count() > 2);
    (disk, store)
}

#[test]
fn a_store_is_clean_at_every_stage_of_its_life() {
    for flush in [Flush::Durable, Flush::Relaxed] {
        let options = Options { flush, ..small() };
        let disk = SimDisk::new();
        let store = Store::open(&disk, options.clone()).unwrap();
        store.engine.close().unwrap();
        drop(store);
        assert_clean(&verify(&disk));

        let store = Store::open(&disk, options.clone()).unwrap();
        fill(&store, 0..400);
        let watermark = store.engine.watermark();
        // After a kill: nothing was torn.
        let report = verify(&disk.after_kill());
        assert_clean(&report);
        assert_eq!(report.end_position, watermark);
        store.engine.close().unwrap();
        drop(store);
        let report = verify(&disk);
        assert_clean(&report);
        assert!(report.records > 400 && report.indexes >= 2 && report.checkpoints == 2);

        let store = Store::open(&disk, options.clone()).unwrap();
        fill(&store, 400..500);
        let size = store.engine.watermark() - store.engine.first_position();
        let retention = Retention {
            size_bytes_max: Some(size / 2),
            ..Retention::default()
        };
        store.engine.expire(retention, 0, |outcome: Result<_, _>| {
            assert!(outcome.is_ok_and(|expired: kourou_engine::Expired| expired.segments > 0));
        });
        store.engine.pump();
        assert_clean(&verify(&disk.after_kill()));
        fill(&store, 500..520);
        store.engine.close().unwrap();
        drop(store);
        let report = verify(&disk);
        assert_clean(&report);
        assert!(report.first_position > 0);
    }
}

#[test]
fn a_store_that_is_open_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(StdDisk::new(folder.path(), WriterKind::Auto));
    let options = Options::new(folder.path());
    let clock = Arc::new(kourou_engine::clock::SystemClock);
    let engine = kourou_engine::Engine::open(
        options.clone(),
        disk.clone(),
        clock.clone(),
        Arc::new(kourou_engine::NoView),
    )
    .unwrap();
    let refused = ClosedStore::open(disk.clone(), folder.path()).unwrap_err();
    let own = std::process::id().to_string();
    assert!(matches!(refused, OpenError::Locked { pid, .. } if pid == own));
    engine.append_blocking(message("orders", 0, 1, 20)).unwrap();
    engine.close().unwrap();
    drop(engine);

    let first = ClosedStore::open(disk.clone(), folder.path()).unwrap();
    let second = ClosedStore::open(disk.clone(), folder.path()).unwrap();
    assert_clean(&first.verify(&mut |_| {}).unwrap());
    assert_clean(&second.verify(&mut |_| {}).unwrap());
    // And nobody opens it meanwhile.
    let open = || {
        kourou_engine::Engine::open(
            options.clone(),
            disk.clone(),
            clock.clone(),
            Arc::new(kourou_engine::NoView),
        )
    };
    assert!(matches!(open(), Err(OpenError::Locked { .. })));
    drop((first, second));
    open().unwrap();
}

#[test]
fn what_is_no_store_is_refused() {
    let disk = Arc::new(SimDisk::new());
    assert!(matches!(
        ClosedStore::open(disk.clone(), dir()),
        Err(OpenError::Io { .. })
    ));
    disk.create_dir_all(&dir()).unwrap();
    assert!(matches!(
        ClosedStore::open(disk.clone(), dir()),
        Err(OpenError::NotAStore { .. })
    ));
    disk.open(&dir().join("letter.txt"), OpenMode::CreateNew).unwrap();
    assert!(
        matches!(ClosedStore::open(disk, dir()), Err(OpenError::NotAStore { found, .. }) if found == "letter.txt")
    );
}

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    &report.findings[0]
}

fn closed() -> SimDisk {
    let (disk, store) = filled(small());
    store.engine.close().unwrap();
    disk
}

fn segment(start: u64) -> std::path::PathBuf {
    dir().join(format!("log/{start:020}"))
}

fn index(start: u64) -> std::path::PathBuf {
    dir().join(format!("index/{start:020}"))
}

#[test]
fn a_damaged_record_is_told_with_its_place_and_costs_no_other() {
    let disk = closed();
    let clean = verify(&disk);
    // The body of some record in the first segment.
    disk.flip_bit(&segment(0), 20_000, 3).unwrap();
    let report = verify(&disk);
    let finding = only(&report);
    assert_eq!((finding.kind, finding.file.clone()), (Kind::Record, segment(0)));
    assert!(finding.offset <= 20_000 && 20_000 < finding.offset + finding.size_bytes);
    assert_eq!(finding.position, Some(finding.offset));
    let place = finding.place.as_ref().unwrap();
    assert!(["orders", "bills"].contains(&place.topic.as_str()));
    assert_eq!(report.records, clean.records - 1);
    assert_eq!(report.verdict(), Verdict::Findings);
    assert_eq!(report.looked_bytes, report.total_bytes);
    let text = finding.to_string();
    assert!(
        text.contains("checksum") && text.contains("00000000000000000000"),
        "{text}"
    );
}

#[test]
fn files_that_are_missing_or_too_many_are_told() {
    let disk = closed();
    disk.remove(&index(0)).unwrap();
    let report = verify(&disk);
    assert_eq!(only(&report).kind, Kind::IndexMissing);
    assert_eq!(report.verdict(), Verdict::Clean, "the next start makes it again");

    let disk = closed();
    disk.remove(&segment(64 << 10)).unwrap();
    let report = verify(&disk);
    assert!(report.findings.iter().any(|finding| finding.kind == Kind::Hole));
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.kind == Kind::IndexStray)
    );
    assert_eq!(report.verdict(), Verdict::Findings);

    let disk = closed();
    disk.open(&dir().join("log/notes.txt"), OpenMode::CreateNew)
        .unwrap();
    let report = verify(&disk);
    assert_eq!(only(&report).kind, Kind::Foreign);
    assert_eq!(report.verdict(), Verdict::Clean);

    let disk = closed();
    disk.remove(&dir().join("checkpoint.0")).unwrap();
    assert_eq!(only(&verify(&disk)).kind, Kind::CheckpointMissing);
}

/// An index that is whole, but of another log: nothing missing and nothing invented is part of the look.
#[test]
fn an_index_that_says_something_else_is_told() {
    let disk = closed();
    let (other, store) = {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        fill(&store, 1..400);
        (disk, store)
    };
    store.engine.close().unwrap();
    let replace = |path: &Path| {
        disk.remove(path).unwrap();
        let file = disk.open(path, OpenMode::CreateNew).unwrap();
        file.write_at(&other.content(path).unwrap(), 0).unwrap();
    };
    replace(&index(0));
    let report = verify(&disk);
    assert!(
        !report.findings.is_empty()
            && report
                .findings
                .iter()
                .all(|finding| finding.kind == Kind::IndexLog),
        "{:#?}",
        report.findings.first()
    );
    assert!(report.findings.iter().all(|finding| finding.file == index(0)));

    for name in ["checkpoint.0", "checkpoint.1"] {
        replace(&dir().join(name));
    }
    assert!(
        verify(&disk)
            .findings
            .iter()
            .any(|finding| finding.kind == Kind::CheckpointLog)
    );
}

#[test]
fn what_a_crash_leaves_is_clean_enough() {
    let (disk, store) = filled(small());
    // The group of one record is torn: two sectors of it are written, behind those that were there.
    store.append(message("orders", 0, 1_000, 3_000));
    let is_group = |op: &Op| matches!(op, Op::Group { .. });
    let there = (store.engine.watermark() % 4_096 / 512) as usize;
    disk.harm_next(0, is_group, Harm::Crash(Tear::Prefix(there + 2)));
    store.engine.pump();
    let disk = disk.after_power_cut(Survivors::All);
    let report = verify(&disk);
    assert_eq!(only(&report).kind, Kind::TornTail);
    assert_eq!(report.verdict(), Verdict::Clean);
    // It is where the next start cuts.
    let store = Store::open(&disk, small()).unwrap();
    assert_eq!(store.engine.recovery().cut_bytes, {
        let finding = only(&report);
        finding.position.unwrap() + finding.size_bytes - report.end_position
    });
    store.engine.close().unwrap();
    assert_clean(&verify(&disk));
}

#[test]
fn a_block_that_cannot_be_read_costs_what_lies_in_it() {
    let disk = closed();
    let clean = verify(&disk);
    disk.spoil(&segment(0), 20_480, 4_096).unwrap();
    let report = verify(&disk);
    let first = &report.findings[0];
    assert_eq!(
        (first.kind, first.offset, first.size_bytes),
        (Kind::Unreadable, 20_480, 4_096),
        "{:#?}",
        report.findings
    );
    assert_eq!(report.verdict(), Verdict::Findings);
    // At most what overlaps the block: records here are over a hundred bytes long.
    assert!(report.records < clean.records && report.records + 40 > clean.records);

    let disk = closed();
    disk.spoil(&index(0), 100, 1).unwrap();
    assert_eq!(verify(&disk).findings[0].kind, Kind::Unreadable);
}

/// The whole identity is known from the segments' names, and the look goes on.
#[test]
fn a_damaged_identity_is_told() {
    let disk = closed();
    disk.flip_bit(&dir().join("identity"), 14, 0).unwrap();
    let report = verify(&disk);
    assert_eq!(only(&report).kind, Kind::Identity);
    assert_eq!(report.looked_bytes, report.total_bytes);
}
