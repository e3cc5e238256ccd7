//! A small embedder of the engine, and what every history over it must satisfy.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use kourou_engine::clock::{ManualClock, SystemClock};
use kourou_engine::disk::{Disk, StdDisk, WriterKind};
use kourou_engine::record::{
    EncodedRecord, EncodedRecords, KeyKind, RecordDraft, RecordView, STATE_TOPIC, state,
};
use kourou_engine::{
    AppendError, Appended, Arrival, Engine, IndexEntry, KeyQuery, NoView, OpenError, Options, Threads, View,
};

/// The body of every record begins with its number, so that a record says which one it is.
pub(crate) fn body(number: u64, size_bytes: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.extend((8..size_bytes.max(8)).map(|at| (number as u8).wrapping_mul(31).wrapping_add(at as u8)));
    body
}

/// A key that every message has.
pub(crate) const SHARED_KEY: &str = "all";

/// A query for everything with a key.
pub(crate) fn with_key<'a>(topic: &'a str, key: &'a str) -> KeyQuery<'a> {
    KeyQuery {
        topic,
        key,
        kind: KeyKind::Any,
        begin_ms: 0,
        end_ms: i64::MAX,
        records_max: usize::MAX,
        size_bytes_max: usize::MAX,
        looks_max: usize::MAX,
    }
}

pub(crate) fn number_of(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().unwrap())
}

pub(crate) fn message(topic: &str, queue_id: u32, number: u64, size_bytes: usize) -> EncodedRecord {
    let properties = format!(
        "TAGS\x01red\x02UNIQ_KEY\x01id-{number}\x02KEYS\x01even-{} {SHARED_KEY}\x02",
        number.is_multiple_of(2)
    );
    RecordDraft {
        properties: properties.as_bytes(),
        ..RecordDraft::new(topic, queue_id, &body(number, size_bytes))
    }
    .encode()
    .unwrap()
}

pub(crate) fn state_record(number: u64) -> EncodedRecord {
    state(7, &body(number, 20), 0)
}

/// Appends what a log has: of so many one is a state record, one a batch, one a message to another topic, the rest are messages to orders; of
/// these sizes.
pub(crate) fn append_one_of(
    store: &Store,
    kinds: u64,
    number: u64,
    bill_size_bytes: usize,
    order_size_bytes: usize,
) {
    let queue_id = (number % 3) as u32;
    match number % kinds {
        0 => {
            store.append(state_record(number));
        }
        1 => {
            let records: EncodedRecords = [
                message("orders", queue_id, number, 100),
                message("orders", 0, number, 40),
            ]
            .into_iter()
            .collect();
            store.engine.append_batch(records, |outcome| {
                outcome.unwrap();
            });
        }
        2 => {
            store.append(message("bills", queue_id, number, bill_size_bytes));
        }
        _ => {
            store.append(message("orders", queue_id, number, order_size_bytes));
        }
    }
}

/// A view that keeps the numbers of all state records it has applied, and what has arrived.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) applied: Mutex<Vec<u64>>,
    pub(crate) arrived: Mutex<Vec<(String, u32, u64)>>,
}

impl View for Numbers {
    fn apply(&self, record: &RecordView<'_>) {
        if record.topic() == STATE_TOPIC {
            self.applied.lock().unwrap().push(number_of(record.body()));
        }
    }

    fn arrived(&self, arrivals: &[Arrival<'_>]) {
        let named =
            |arrival: &Arrival<'_>| (arrival.topic.to_owned(), arrival.queue_id, arrival.queue_offset);
        self.arrived.lock().unwrap().extend(arrivals.iter().map(named));
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.applied
            .lock()
            .unwrap()
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn restore(&self, state: &[u8]) -> Result<(), String> {
        let numbers = state
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()));
        *self.applied.lock().unwrap() = numbers.collect();
        Ok(())
    }
}

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/store")
}

/// Small segments, so that short histories cross them.
pub(crate) fn small() -> Options {
    Options {
        segment_size_bytes: 64 << 10,
        ahead_size_bytes: 16 << 10,
        threads: Threads::Manual,
        ..Options::new(dir())
    }
}

/// A store on a real disk, with threads of its own.
pub(crate) fn open_real(dir: &Path) -> Engine {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    Engine::open(Options::new(dir), disk, Arc::new(SystemClock), Arc::new(NoView)).unwrap()
}

pub(crate) struct Store {
    pub(crate) engine: Engine,
    pub(crate) view: Arc<Numbers>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Store {
    pub(crate) fn open(disk: &(impl Disk + Clone), options: Options) -> Result<Self, OpenError> {
        let view = Arc::new(Numbers::default());
        let clock = Arc::new(ManualClock::new(1_000));
        let engine = Engine::open(options, Arc::new(disk.clone()), clock.clone(), view.clone())?;
        Ok(Self { engine, view, clock })
    }

    pub(crate) fn append(&self, record: EncodedRecord) -> Arc<Mutex<Option<Result<Appended, AppendError>>>> {
        let slot = Arc::new(Mutex::new(None));
        self.engine.append(record, {
            let slot = Arc::clone(&slot);
            move |outcome| *slot.lock().unwrap() = Some(outcome)
        });
        slot
    }

    /// All readable messages: for each queue the numbers in the order of their offsets. Checks on the way that offsets have no
    /// gaps and that each entry leads to the record it speaks of.
    pub(crate) fn messages(&self) -> BTreeMap<(String, u32), Vec<u64>> {
        let mut messages = BTreeMap::new();
        for (topic, queue_id, range) in self.engine.queues() {
            let mut entries = Vec::new();
            self.engine
                .entries(&topic, queue_id, range.min, usize::MAX >> 1, &mut entries);
            assert_eq!(
                entries.len() as u64,
                range.max - range.min,
                "all offsets of {topic}/{queue_id}"
            );
            let numbers = entries.iter().zip(range.min..).map(|(entry, offset)| {
                assert_eq!(entry.queue_offset, offset);
                self.number(&topic, queue_id, entry)
            });
            let numbers: Vec<u64> = numbers.collect();
            if !numbers.is_empty() {
                messages.insert((topic.to_string(), queue_id), numbers);
            }
        }
        messages
    }

    /// The same; and each is found by its keys.
    pub(crate) fn messages_with_keys(&self) -> BTreeMap<(String, u32), Vec<u64>> {
        let messages = self.messages();
        self.check_keys(&messages);
        messages
    }

    /// The numbers of the records with a key, newest first.
    pub(crate) fn numbers_with_key(&self, query: &KeyQuery<'_>) -> Vec<u64> {
        let found = self.engine.find_by_key(query);
        found
            .iter()
            .map(|record| number_of(RecordView::parse(record).unwrap().body()))
            .collect()
    }

    /// Each message is found by each of its keys, and nothing else is.
    fn check_keys(&self, messages: &BTreeMap<(String, u32), Vec<u64>>) {
        let mut by_topic: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for ((topic, _), numbers) in messages {
            by_topic.entry(topic).or_default().extend(numbers);
        }
        for (topic, mut numbers) in by_topic {
            numbers.sort_unstable();
            let sorted = |key: &str| {
                let mut found = self.numbers_with_key(&with_key(topic, key));
                found.sort_unstable();
                found
            };
            assert_eq!(sorted(SHARED_KEY), numbers, "all of {topic} by a key");
            numbers.retain(|number| number.is_multiple_of(2));
            assert_eq!(sorted("even-true"), numbers, "half of {topic} by a key");
            for number in numbers.into_iter().step_by(3) {
                assert_eq!(sorted(&format!("id-{number}")), [number], "by its unique key");
            }
        }
    }

    pub(crate) fn number(&self, topic: &str, queue_id: u32, entry: &IndexEntry) -> u64 {
        let bytes = self.engine.read(entry.position, entry.size_bytes).unwrap();
        assert_eq!(bytes, self.engine.read_at(entry.position).unwrap());
        let record = RecordView::parse(&bytes).unwrap();
        record.verify(entry.position).unwrap();
        assert_eq!(
            (
                record.topic(),
                record.queue_id(),
                record.queue_offset(),
                record.store_ms(),
                record.tags_code()
            ),
            (
                topic,
                queue_id,
                entry.queue_offset,
                entry.store_ms,
                entry.tags_code
            )
        );
        let number = number_of(record.body());
        assert_eq!(record.body(), body(number, record.body().len()));
        number
    }
}
