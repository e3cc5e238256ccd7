//! One flipped bit, anywhere in a store: it is found, nothing wrong is ever served, and no other record is lost.
//!
//! The whole of a small store is swept: bits at even distances through all of its files, and at the first and last byte of each field of
//! what it holds. For each the look at the closed store has to tell it; then the store is opened, which may be refused if the file and the
//! place are named; then everything is read.
//!
//! Bytes that mean nothing, where a flip need not be found: what is behind a checkpoint's body in its file, left over from a longer
//! one. (The lock file's process id is not part of the store.)

#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use harness::{SHARED_KEY, Store, append_one_of, dir, small, with_key};
use kourou_engine::disk::Disk;
use kourou_engine::disk::sim::SimDisk;
use kourou_engine::record::RecordView;
use kourou_engine::verify::{ClosedStore, Report, Seen, Verdict};
use kourou_engine::{IndexEntry, OpenError, ReadError};

/// Places at even distances; field boundaries come on top.
const EVEN_PLACES: u64 = 9_000;

/// One readable record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    entry: IndexEntry,
    bytes: Bytes,
}

/// What a store serves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Model {
    queues: BTreeMap<(String, u32), Vec<Kept>>,
    /// The numbers of all state records, in order.
    states: Vec<u64>,
    with_key: BTreeMap<String, Vec<Bytes>>,
}

struct Sample {
    disk: SimDisk,
    files: BTreeMap<PathBuf, Vec<u8>>,
    model: Model,
    /// Where each record lies.
    records: Vec<(u64, u64)>,
}

const SEGMENT_SIZE_BYTES: u64 = 64 << 10;

impl Sample {
    /// Segments that are complete, one that is not, and one made ahead of it. Closed, or killed.
    fn new(is_closed: bool) -> Self {
        let disk = SimDisk::new();
        let store = Store::open(&disk, small()).unwrap();
        for number in 0..260 {
            append(&store, number);
        }
        assert!(store.engine.segment_count() >= 3);
        if is_closed {
            store.engine.close().unwrap();
        }
        drop(store);
        let disk = disk.after_kill();
        let opened = Store::open(&disk.after_kill(), small()).unwrap();
        let model = served(&opened, |_, error| panic!("{error}"));
        let mut files = BTreeMap::new();
        for folder in [dir(), dir().join("log"), dir().join("index")] {
            for listed in disk.list(&folder).unwrap() {
                let path = folder.join(&listed.name);
                files.insert(path.clone(), disk.content(&path).unwrap());
            }
        }
        let mut records = Vec::new();
        let closed = ClosedStore::open(Arc::new(disk.clone()), dir()).unwrap();
        closed
            .walk(0, &mut |seen| {
                let Seen::Record { position, record } = seen else {
                    panic!("{seen:?}");
                };
                records.push((position, u64::from(record.size_bytes())));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        Self {
            disk,
            files,
            model,
            records,
        }
    }

    fn flipped(&self, place: &Place) -> SimDisk {
        let disk = self.disk.after_kill();
        disk.flip_bit(&place.file, place.at, place.bit).unwrap();
        disk
    }

    /// Places at even distances over all bits of all files.
    fn even_places(&self, count: u64) -> Vec<Place> {
        let bits: u64 = self.files.values().map(|bytes| bytes.len() as u64 * 8).sum();
        let mut places = Vec::new();
        let mut before = 0;
        let mut next = 0;
        for (file, bytes) in &self.files {
            let end = before + bytes.len() as u64 * 8;
            while next * bits / count < end && next < count {
                let bit = next * bits / count - before;
                places.push(Place {
                    file: file.clone(),
                    at: bit / 8,
                    bit: (bit % 8) as u8,
                });
                next += 1;
            }
            before = end;
        }
        places
    }

    /// The first and the last byte of each field; of every `step`th record only.
    fn field_places(&self, step: usize) -> Vec<Place> {
        let mut places = Vec::new();
        let mut both = |file: &Path, from: u64, size: u64| {
            if size > 0 {
                for (at, bit) in [(from, 7), (from + size - 1, 0)] {
                    let file = file.to_owned();
                    places.push(Place { file, at, bit });
                }
            }
        };
        let mut sizes = |file: &Path, from: u64, sizes: &[u64]| {
            let mut at = from;
            for size in sizes {
                both(file, at, *size);
                at += size;
            }
        };
        for (position, size) in self.records.iter().step_by(step) {
            let file = segment_of(*position);
            let at = position % SEGMENT_SIZE_BYTES;
            let is_mark =
                |bytes: &[u8]| bytes.starts_with(b"\0\0\0\x20KGM1") || bytes.starts_with(b"\0\0\0\x20KBM1");
            if let Some(mark) = at.checked_sub(32)
                && is_mark(&self.files[&file][mark as usize..])
            {
                sizes(&file, mark, &[4, 4, 8, 8, 4, 4]);
            }
            let bytes = &self.files[&file][at as usize..(at + size) as usize];
            let record = RecordView::parse(bytes).unwrap();
            let body = record.body().len() as u64;
            let topic = record.topic().len() as u64;
            let fixed = [4, 4, 4, 4, 4, 8, 8, 4, 8, 8, 8, 8, 4, 8, 4, body, 1, topic, 2];
            let before_properties: u64 = fixed.iter().sum();
            sizes(&file, at, &fixed);
            // The checksum property is the last 20 bytes.
            sizes(
                &file,
                at + before_properties,
                &[size - before_properties - 20, 8, 1, 10, 1],
            );
        }
        for (file, bytes) in &self.files {
            let is_in = |folder: &str| file.parent() == Some(&dir().join(folder));
            let name = file.file_name().unwrap().to_str().unwrap();
            if is_in("index") {
                sizes(file, 0, &[8, 4, 4, 8, 8, 8, 8, 8, 4, 4]);
                sizes(file, 64, &[4, 4, 4, 4, 8, 8, 8]);
            } else if is_in("log") {
                // What ends a segment, wherever that is.
                if let Some(at) = bytes
                    .windows(4)
                    .rposition(|magic| magic == 0xCBD4_3194_u32.to_be_bytes())
                {
                    sizes(file, at as u64 - 4, &[4, 4]);
                }
            } else if name == "identity" {
                sizes(file, 0, &[8, 4, 8, 4]);
            } else {
                sizes(file, 0, &[8, 4, 4, 8, 4, 8, 8, 1, 8, 8, 8, 4]);
            }
        }
        places
    }

    /// Whether nobody cares for this byte.
    fn means_nothing(&self, place: &Place) -> bool {
        let name = place.file.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("checkpoint.") {
            return false;
        }
        let bytes = &self.files[&place.file];
        let body_size = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
        place.at >= 28 + body_size
    }

    /// The record that the byte is part of.
    fn record_at(&self, place: &Place) -> Option<u64> {
        let start = start_of(&place.file)?;
        let at = start + place.at;
        let found = self
            .records
            .iter()
            .find(|(position, size)| (*position..position + size).contains(&at));
        found.map(|(position, _)| *position)
    }
}

#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    at: u64,
    bit: u8,
}

fn segment_of(position: u64) -> PathBuf {
    let start = position - position % SEGMENT_SIZE_BYTES;
    dir().join(format!("log/{start:020}"))
}

/// Where a segment begins.
fn start_of(file: &Path) -> Option<u64> {
    let is_segment = file.parent() == Some(&dir().join("log"));
    is_segment.then(|| file.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

fn append(store: &Store, number: u64) {
    append_one_of(store, 9, number, 1_300, 350);
    if number.is_multiple_of(4) {
        store.clock.advance(3);
        store.engine.pump();
    }
}

/// Everything that a store serves; reads that fail are handed to `failed` and left out.
fn served(store: &Store, mut failed: impl FnMut(&IndexEntry, &ReadError)) -> Model {
    let mut model = Model {
        states: store.view.applied.lock().unwrap().clone(),
        ..Model::default()
    };
    for (topic, queue_id, range) in store.engine.queues() {
        let mut entries = Vec::new();
        let all = usize::MAX >> 1;
        store
            .engine
            .entries(&topic, queue_id, range.min, all, &mut entries);
        assert_eq!(entries.len() as u64, range.max - range.min);
        let mut kept = Vec::new();
        for entry in entries {
            match store.engine.read(entry.position, entry.size_bytes) {
                Ok(bytes) => kept.push(Kept { entry, bytes }),
                Err(error) => failed(&entry, &error),
            }
        }
        model.queues.insert((topic.to_string(), queue_id), kept);
    }
    for topic in ["orders", "bills"] {
        let found = store.engine.find_by_key(&with_key(topic, SHARED_KEY));
        model.with_key.insert(topic.to_owned(), found);
    }
    model
}

fn verify(disk: &SimDisk) -> Report {
    let closed = ClosedStore::open(Arc::new(disk.clone()), dir());
    closed.unwrap().verify(&mut |_| {}).unwrap()
}

/// What a sweep came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    places: u64,
    means_nothing: u64,
    found: u64,
    missed: u64,
    opens_refused: u64,
    records_refused: u64,
    served_wrong: u64,
    others_lost: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.places += other.places;
        self.means_nothing += other.means_nothing;
        self.found += other.found;
        self.missed += other.missed;
        self.opens_refused += other.opens_refused;
        self.records_refused += other.records_refused;
        self.served_wrong += other.served_wrong;
        self.others_lost += other.others_lost;
    }

    fn try_place(&mut self, sample: &Sample, place: &Place) {
        self.places += 1;
        let disk = sample.flipped(place);
        if sample.means_nothing(place) {
            self.means_nothing += 1;
        } else if verify(&disk).findings.is_empty() {
            self.missed += 1;
            println!("not found: {place:?}");
        } else {
            self.found += 1;
        }
        let store = match Store::open(&disk, small()) {
            Ok(store) => store,
            Err(OpenError::Corrupt { file, offset, .. }) => {
                assert_eq!(file, place.file, "the file is named");
                assert!(offset <= place.at, "the place is named: {offset} for {place:?}");
                self.opens_refused += 1;
                return;
            }
            // What the identity file says is not believed, whatever it says.
            Err(error) => panic!("{place:?}: {error}"),
        };
        self.compare(sample, place, &store);
    }

    fn compare(&mut self, sample: &Sample, place: &Place, store: &Store) {
        let damaged = sample.record_at(place);
        let mut refused = None;
        let mut others = 0;
        let model = served(store, |entry, error| {
            let ReadError::Corrupt { file, offset, .. } = error else {
                panic!("{place:?}: {error}");
            };
            assert_eq!(
                (file, *offset),
                (&place.file, entry.position % SEGMENT_SIZE_BYTES)
            );
            if Some(entry.position) == damaged {
                refused = damaged;
            } else {
                others += 1;
            }
        });
        self.records_refused += u64::from(refused.is_some());
        self.others_lost += others;
        let expected = &sample.model;
        for (queue, kept) in &expected.queues {
            let found = model.queues.get(queue).map_or(&[][..], Vec::as_slice);
            let expected = kept.iter().filter(|kept| Some(kept.entry.position) != refused);
            self.count(expected, found.iter(), place);
        }
        let extra = model
            .queues
            .keys()
            .filter(|queue| !expected.queues.contains_key(*queue));
        self.served_wrong += extra.count() as u64;
        for (topic, found) in &model.with_key {
            let is_refused = |bytes: &&Bytes| refused == Some(RecordView::parse(bytes).unwrap().position());
            let expected = expected.with_key[topic].iter().filter(|bytes| !is_refused(bytes));
            self.count(expected, found.iter(), place);
        }
        if model.states != expected.states {
            self.served_wrong += 1;
            println!("other state: {place:?}");
        }
    }

    /// Counts what is served but was not stored so, and what was stored but is not served.
    fn count<T: PartialEq>(
        &mut self,
        expected: impl Iterator<Item = T>,
        found: impl Iterator<Item = T>,
        place: &Place,
    ) {
        let (expected, found): (Vec<_>, Vec<_>) = (expected.collect(), found.collect());
        if expected == found {
            return;
        }
        println!("not what was stored: {place:?}");
        self.served_wrong += found.iter().filter(|one| !expected.contains(one)).count() as u64;
        self.others_lost += expected.iter().filter(|one| !found.contains(one)).count() as u64;
    }
}

/// Tries all places, on as many threads as there are processors.
fn sweep(sample: &Sample, places: &[Place]) -> Tally {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let chunk = places.len().div_ceil(threads);
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = places
            .chunks(chunk)
            .map(|places| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for place in places {
                        tally.try_place(sample, place);
                    }
                    tally
                })
            })
            .collect();
        for tally in running {
            all.add(&tally.join().unwrap());
        }
    });
    all
}

#[test]
fn a_flipped_bit_is_found_and_costs_no_other_record() {
    let sample = Sample::new(true);
    assert_eq!(verify(&sample.disk).verdict(), Verdict::Clean);
    assert_eq!(verify(&sample.disk).findings, []);
    let mut places = sample.even_places(EVEN_PLACES);
    assert_eq!(places.len() as u64, EVEN_PLACES);
    // All of them takes a minute.
    let step = if std::env::var_os("KOUROU_FLIPS_ALL").is_some() {
        1
    } else {
        9
    };
    places.extend(sample.field_places(step));
    let tally = sweep(&sample, &places);
    println!("{tally:?}");
    assert!(tally.places >= 10_000);
    assert_eq!(
        (tally.missed, tally.served_wrong, tally.others_lost),
        (0, 0, 0),
        "{tally:?}"
    );
    assert_eq!(tally.found + tally.means_nothing, tally.places);
    // Otherwise this would not have been a test of reading.
    assert!(tally.records_refused > 1_000, "{tally:?}");
    assert!(tally.means_nothing < tally.places / 50, "{tally:?}");
}

/// After a kill the records behind the last checkpoint are read again at the start. A bit that rotted there is not passed over: a record
/// that nobody knows may have changed anything. The open is refused, with file and place, and nothing is changed; but in the last group
/// it is what a torn write looks like, and is cut.
#[test]
fn in_what_a_start_reads_again_a_flipped_bit_is_refused_or_cut() {
    let sample = Sample::new(false);
    let report = verify(&sample.disk);
    assert_eq!(report.findings, []);
    let live = segment_of(report.end_position);
    let live_start = start_of(&live).unwrap();
    // The last group holds the records that the last pump wrote.
    let last_group = *sample
        .records
        .iter()
        .map(|(position, _)| position)
        .filter(|position| **position >= live_start)
        .rev()
        .nth(5)
        .unwrap();
    let (mut refused, mut cut) = (0, 0);
    for place in sample
        .even_places(40_000)
        .iter()
        .filter(|place| place.file == live)
    {
        let at = live_start + place.at;
        if at >= report.end_position || !at.is_multiple_of(5) {
            continue;
        }
        let disk = sample.flipped(place);
        match Store::open(&disk, small()) {
            Err(OpenError::Corrupt { file, offset, .. }) => {
                assert!(file == live && offset <= place.at, "{offset} for {place:?}");
                assert_eq!(verify(&disk).verdict(), Verdict::Findings);
                refused += 1;
            }
            Err(error) => panic!("{place:?}: {error}"),
            Ok(store) => {
                assert!(at >= last_group, "{place:?} was passed over");
                let model = served(&store, |_, error| panic!("{error}"));
                for (queue, kept) in &model.queues {
                    assert!(sample.model.queues[queue].starts_with(kept), "{place:?}");
                }
                cut += 1;
            }
        }
    }
    println!("{refused} refused, {cut} cut");
    assert!(refused > 200 && cut > 5, "{refused} refused, {cut} cut");
}
