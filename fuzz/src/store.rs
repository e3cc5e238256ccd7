//! Checks of a whole store: what an open makes of any bytes, and whether a history of operations ends as it must.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use kourou_engine::clock::ManualClock;
use kourou_engine::disk::sim::{SimDisk, Survivors, Tear};
use kourou_engine::disk::{Disk, OpenMode};
use kourou_engine::record::{EncodedRecord, EncodedRecords, KeyKind, RecordDraft, RecordView};
use kourou_engine::verify::{ClosedStore, Verdict};
use kourou_engine::{Engine, KeyQuery, NoView, OpenError, Options, Retention, Threads};

const TOPIC: &str = "t";
const QUEUES: u8 = 3;
const SEGMENT_SIZE_BYTES: u64 = 64 << 10;
/// Entries of one queue that are read, whatever a file claims.
const ENTRIES_MAX: usize = 4_096;

fn dir() -> PathBuf {
    PathBuf::from("/store")
}

fn options() -> Options {
    Options {
        segment_size_bytes: SEGMENT_SIZE_BYTES,
        ahead_size_bytes: 8 << 10,
        tail_cache_size_bytes: 32 << 10,
        threads: Threads::Manual,
        ..Options::new(dir())
    }
}

fn open(disk: &SimDisk) -> Result<Engine, OpenError> {
    let clock = Arc::new(ManualClock::new(1_000));
    Engine::open(options(), Arc::new(disk.clone()), clock, Arc::new(NoView))
}

fn message(queue_id: u8, number: u64, size_bytes: usize) -> EncodedRecord {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + size_bytes, number as u8);
    let properties = format!("KEYS\x01all {number}\x02");
    let draft = RecordDraft {
        properties: properties.as_bytes(),
        ..RecordDraft::new(TOPIC, queue_id.into(), &body)
    };
    match draft.encode() {
        Ok(record) => record,
        Err(error) => panic!("a small message: {error}"),
    }
}

fn number_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(number) => u64::from_be_bytes(*number),
        None => panic!("a body of {} bytes", bytes.len()),
    }
}

/// A store's folder of any bytes, or a good store of which some were changed. It opens or it does not; what it serves is what its
/// checksums say, and the look at it ends.
pub fn recovery(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let disk = match mode % 3 {
        0 => any_files(data),
        1 => edited(&sample(true), data),
        _ => edited(&sample(false), data),
    };
    if let Ok(closed) = ClosedStore::open(Arc::new(disk.clone()), dir()) {
        let _findings = closed.verify(&mut |_| {});
        let _sum = closed.summary();
        let _end = closed.walk(0, &mut |_| std::ops::ControlFlow::Continue(()));
    }
    let Ok(engine) = open(&disk) else { return };
    served(&engine);
    // It takes records, and has them after the next start.
    let record = message(0, u64::MAX, 10);
    let Ok(stored) = engine.append_blocking(record) else {
        return;
    };
    let _closed = engine.close();
    drop(engine);
    // A file that says nonsense with a good checksum may be refused by now.
    let Ok(engine) = open(&disk) else { return };
    match engine.read_at(stored.position) {
        Ok(bytes) => match RecordView::parse(&bytes) {
            Ok(view) => assert_eq!(number_of(view.body()), u64::MAX),
            Err(error) => panic!("what was appended: {error}"),
        },
        Err(error) => panic!("what was appended: {error}"),
    }
}

/// Reads everything.
fn served(engine: &Engine) {
    engine.scrub(u64::MAX, |_| {});
    engine.pump();
    for (topic, queue_id, range) in engine.queues() {
        let mut entries = Vec::new();
        engine.entries(&topic, queue_id, range.min, ENTRIES_MAX, &mut entries);
        for entry in &entries {
            if let Ok(bytes) = engine.read(entry.position, entry.size_bytes) {
                check(&bytes, entry.position);
            }
        }
        let _any = engine.offset_by_time(&topic, queue_id, 1_000, kourou_engine::Boundary::Lower);
        for bytes in engine.find_by_key(&KeyQuery {
            topic: &topic,
            key: "all",
            kind: KeyKind::Any,
            begin_ms: 0,
            end_ms: i64::MAX,
            records_max: 64,
            size_bytes_max: 1 << 20,
            looks_max: 256,
        }) {
            match RecordView::parse(&bytes) {
                Ok(view) => check(&bytes, view.position()),
                Err(error) => panic!("served by its key: {error}"),
            }
        }
    }
}

fn check(bytes: &[u8], position: u64) {
    if let Err(error) = RecordView::parse(bytes).and_then(|view| view.verify(position)) {
        panic!("served at {position}: {error}");
    }
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk
        .open(path, OpenMode::ReadWrite)
        .or_else(|_| disk.open(path, OpenMode::CreateNew));
    let Ok(file) = file else {
        panic!("a file on a disk without faults");
    };
    assert!(file.write_at(bytes, 0).is_ok());
}

/// Files of any bytes, behind an identity that is good: sizes of two bytes, then so many.
fn any_files(data: &[u8]) -> SimDisk {
    let good = sample(true);
    let disk = SimDisk::new();
    for folder in ["/store/log", "/store/index"] {
        assert!(disk.create_dir_all(Path::new(folder)).is_ok());
    }
    let identity = dir().join("identity");
    put(&disk, &identity, &good.content(&identity).unwrap_or_default());
    let mut rest = data;
    for name in [
        "log/00000000000000000000",
        "checkpoint.0",
        "checkpoint.1",
        "index/00000000000000000000",
        "log/00000000000000065536",
    ] {
        let Some((size, behind)) = rest.split_first_chunk::<2>() else {
            break;
        };
        let size = usize::from(u16::from_le_bytes(*size)).min(behind.len());
        let (bytes, behind) = behind.split_at(size);
        put(&disk, &dir().join(name), bytes);
        rest = behind;
    }
    disk
}

/// A good store of several segments; closed, or killed.
fn sample(is_closed: bool) -> SimDisk {
    static SAMPLES: OnceLock<[Mutex<SimDisk>; 2]> = OnceLock::new();
    let make = |is_closed: bool| {
        let disk = SimDisk::new();
        let Ok(engine) = open(&disk) else {
            panic!("a new store");
        };
        for number in 0..150 {
            let stored = engine.append_blocking(message((number % 3) as u8, number, 700));
            assert!(stored.is_ok());
        }
        if is_closed {
            assert!(engine.close().is_ok());
        }
        drop(engine);
        Mutex::new(disk.after_kill())
    };
    let samples = SAMPLES.get_or_init(|| [make(false), make(true)]);
    match samples[usize::from(is_closed)].lock() {
        Ok(disk) => disk.after_kill(),
        Err(_) => panic!("a check has failed before"),
    }
}

/// Changes bytes: for each six of the data the number of a file, a place of three bytes, what is done, and a value.
fn edited(good: &SimDisk, data: &[u8]) -> SimDisk {
    let mut files = Vec::new();
    for folder in ["", "log", "index"] {
        let folder = dir().join(folder);
        let mut names: Vec<_> = good
            .list(&folder)
            .unwrap_or_default()
            .into_iter()
            .map(|listed| (folder.join(listed.name), listed.size_bytes))
            .collect();
        names.sort();
        files.extend(names);
    }
    let (edits, _) = data.as_chunks::<6>();
    for &[file, a, b, c, what, value] in edits.iter().take(64) {
        let (path, size) = &files[usize::from(file) % files.len()];
        let at = u64::from(u32::from_le_bytes([a, b, c, 0])) % (*size).max(1);
        match what % 8 {
            // Bits that flip, unless the file is gone by now.
            0..=4 => {
                let _flipped = good.flip_bit(path, at, value);
            }
            // A stretch of a value, as of a lost sector.
            5 | 6 => {
                let Ok(opened) = good.open(path, OpenMode::ReadWrite) else {
                    continue;
                };
                let count = (size - at).min(512) as usize;
                assert!(opened.write_at(&vec![value; count], at).is_ok());
            }
            // A file that is gone.
            _ => {
                let _again = good.remove(path);
            }
        }
    }
    good.clone()
}

/// Who has been told what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Waits,
    Stored,
    Refused,
}

/// Appends that are not known to be in the log: for each the queue and number of each message, and what its sender heard.
type Attempts = Vec<(Vec<(u8, u64)>, Arc<Mutex<Told>>)>;

struct History {
    disk: SimDisk,
    engine: Engine,
    /// For each queue its messages, by offset; what has expired, too.
    stored: BTreeMap<u8, Vec<u64>>,
    attempts: Attempts,
    next_number: u64,
}

/// A history of operations, two bytes each: what, and how much. Whatever crashes in between, what was acknowledged is there, in order and once; what
/// was not is there whole or not at all.
pub fn operations(data: &[u8]) {
    let disk = SimDisk::new();
    let Ok(engine) = open(&disk) else {
        panic!("a new store");
    };
    let mut history = History {
        disk,
        engine,
        stored: BTreeMap::new(),
        attempts: Vec::new(),
        next_number: 0,
    };
    let (operations, _) = data.as_chunks::<2>();
    for &[what, how] in operations.iter().take(256) {
        match what % 10 {
            0..=2 => history.append(how, 1),
            3 => history.append(how, 2 + usize::from(what / 10) % 4),
            4 => {
                history.engine.pump();
                history.settle();
            }
            5 => history.crash(what / 10, how),
            6 => history.close(),
            7 => history.expire(how),
            8 => history.compare(),
            _ => {
                history.engine.scrub(u64::from(how) << 8, |outcome| {
                    assert!(outcome.is_ok_and(|scrubbed| scrubbed.found.is_empty()));
                });
                history.engine.pump();
                history.settle();
            }
        }
    }
    history.close();
    history.compare();
}

impl History {
    /// Enqueues an append; nothing is written before something pumps.
    fn append(&mut self, how: u8, count: usize) {
        let told = Arc::new(Mutex::new(Told::Waits));
        let mut messages = Vec::new();
        let mut records: Vec<EncodedRecord> = Vec::new();
        for at in 0..count {
            let queue_id = (how.wrapping_add(at as u8)) % QUEUES;
            messages.push((queue_id, self.next_number));
            records.push(message(queue_id, self.next_number, usize::from(how) * 8));
            self.next_number += 1;
        }
        let records: EncodedRecords = records.into_iter().collect();
        self.engine.append_batch(records, {
            let told = Arc::clone(&told);
            move |outcome| {
                set(
                    &told,
                    if outcome.is_ok() {
                        Told::Stored
                    } else {
                        Told::Refused
                    },
                )
            }
        });
        self.attempts.push((messages, told));
    }

    /// What was acknowledged becomes what must be there.
    fn settle(&mut self) {
        let attempts = std::mem::take(&mut self.attempts);
        for (messages, told) in attempts {
            match get(&told) {
                Told::Stored => {
                    for (queue_id, number) in messages {
                        self.stored.entry(queue_id).or_default().push(number);
                    }
                }
                _ => self.attempts.push((messages, told)),
            }
        }
    }

    /// Cuts the power some operations from now, or kills, and starts again.
    fn crash(&mut self, kind: u8, how: u8) {
        let at = self.disk.operations() + u64::from(how % 8);
        self.disk.crash_at(at, Tear::Random(how.into()));
        self.engine.pump();
        self.settle();
        let next = match kind % 3 {
            0 => self.disk.after_kill(),
            1 => self.disk.after_power_cut(Survivors::None),
            _ => self.disk.after_power_cut(Survivors::Random(how.into())),
        };
        self.restart(next);
    }

    fn close(&mut self) {
        self.engine.pump();
        self.settle();
        assert!(self.engine.close().is_ok(), "a disk without faults");
        let disk = self.disk.after_kill();
        self.restart(disk);
    }

    fn restart(&mut self, disk: SimDisk) {
        match ClosedStore::open(Arc::new(disk.clone()), dir()).and_then(|store| store.verify(&mut |_| {})) {
            // A checkpoint or an index may have been torn.
            Ok(report) if report.verdict() == Verdict::Clean => {}
            Ok(report) => {
                let is_torn = report
                    .findings
                    .iter()
                    .all(|finding| finding.kind.severity() < kourou_engine::verify::Severity::Loss);
                assert!(is_torn, "{:#?}", report.findings);
            }
            Err(error) => panic!("a look: {error}"),
        }
        let engine = match open(&disk) {
            Ok(engine) => engine,
            Err(error) => panic!("a start: {error}"),
        };
        (self.disk, self.engine) = (disk, engine);
        self.take_in();
        self.compare();
    }

    /// Takes what is there beyond what was acknowledged for stored: it must be what was tried, in order and whole.
    fn take_in(&mut self) {
        let mut found: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        for queue_id in 0..QUEUES {
            let known = self.stored.get(&queue_id).map_or(0, Vec::len) as u64;
            let mut numbers = self.numbers_from(queue_id, known);
            numbers.reverse();
            found.insert(queue_id, numbers);
        }
        for (messages, _) in std::mem::take(&mut self.attempts) {
            let mut is_there = None;
            for (queue_id, number) in messages {
                let numbers = found.entry(queue_id).or_default();
                let is_next = numbers.last() == Some(&number);
                assert_eq!(
                    *is_there.get_or_insert(is_next),
                    is_next,
                    "a batch is there whole or not at all"
                );
                if is_next {
                    numbers.pop();
                    self.stored.entry(queue_id).or_default().push(number);
                }
            }
        }
        assert!(found.values().all(Vec::is_empty), "nobody appended {found:?}");
    }

    fn numbers_from(&self, queue_id: u8, from: u64) -> Vec<u64> {
        let mut entries = Vec::new();
        self.engine
            .entries(TOPIC, queue_id.into(), from, ENTRIES_MAX, &mut entries);
        entries
            .iter()
            .zip(from..)
            .map(|(entry, offset)| {
                assert_eq!(entry.queue_offset, offset);
                match self.engine.read(entry.position, entry.size_bytes) {
                    Ok(bytes) => match RecordView::parse(&bytes) {
                        Ok(view) => number_of(view.body()),
                        Err(error) => panic!("offset {offset}: {error}"),
                    },
                    Err(error) => panic!("offset {offset}: {error}"),
                }
            })
            .collect()
    }

    fn expire(&mut self, how: u8) {
        let retention = Retention {
            size_bytes_max: Some(u64::from(how) << 10),
            ..Retention::default()
        };
        self.engine.expire(retention, 1_000, |outcome: Result<_, _>| {
            assert!(outcome.is_ok_and(|expired: kourou_engine::Expired| !expired.held));
        });
        self.engine.pump();
        self.settle();
    }

    /// Everything that has not expired is there.
    fn compare(&self) {
        for (queue_id, stored) in &self.stored {
            let Some(range) = self.engine.queue_range(TOPIC, (*queue_id).into()) else {
                panic!("queue {queue_id} is gone");
            };
            assert_eq!(range.max, stored.len() as u64, "queue {queue_id}");
            let found = self.numbers_from(*queue_id, range.min);
            assert_eq!(found, stored[range.min as usize..], "queue {queue_id}");
        }
    }
}

fn set(told: &Mutex<Told>, to: Told) {
    if let Ok(mut told) = told.lock() {
        *told = to;
    }
}

fn get(told: &Mutex<Told>) -> Told {
    match told.lock() {
        Ok(told) => *told,
        Err(_) => panic!("a check has failed before"),
    }
}
