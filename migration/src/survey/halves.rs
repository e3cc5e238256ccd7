//! Half messages of an Apache broker that nobody has ended.
//!
//! They are in the queue of one topic; what ends them, by their offsets, is in that of another, and an offset of the system's own group says
//! before which nothing is pending. A producer is asked by storing the half message once more, so one and the same may be there
//! several times, also after it was ended: the broker writes down what ended a while later. It is pending where it is last, unless it was ended
//! anywhere.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use kourou_broker::name::HALF_TOPIC;
use kourou_engine::record::{RecordView, UNIQ_KEY};

use crate::source::config::Config;

/// The group by which the broker reads the half messages.
const GROUP: &str = "CID_RMQ_SYS_TRANS";
/// No offsets of a queue are further apart unless it was made anew.
const HOLE_MAX: u64 = 1 << 20;

/// All half messages of a queue, nine bytes each: there may be many.
#[derive(Debug, Default)]
struct HalfQueue {
    first: u64,
    /// Hashes of their unique keys; 0 for none.
    keys: Vec<u64>,
    ended: Vec<bool>,
}

impl HalfQueue {
    fn note(&mut self, offset: u64, key: u64) {
        let next = self.first + self.keys.len() as u64;
        if self.keys.is_empty() || offset < next || offset - next > HOLE_MAX {
            *self = Self {
                first: offset,
                ..Self::default()
            };
        }
        // No further than that.
        let at = (offset - self.first) as usize;
        self.keys.resize(at, 0);
        self.keys.push(key);
        self.ended.resize(at + 1, false);
    }

    fn at(&self, offset: u64) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        (at < self.keys.len()).then_some(at)
    }
}

#[derive(Debug)]
struct Open {
    position: u64,
    key: u64,
}

#[derive(Debug)]
pub(super) struct Halves {
    /// By queue of the half topic: before which offset nothing is pending.
    done_before: HashMap<u32, u64>,
    queues: HashMap<u32, HalfQueue>,
    /// Those from there on.
    open: HashMap<(u32, u64), Open>,
    count: u64,
}

impl Halves {
    pub(super) fn new(config: &Config) -> Self {
        let of_system = config
            .offsets
            .iter()
            .filter(|offset| offset.topic == HALF_TOPIC && offset.group == GROUP);
        Self {
            done_before: of_system
                .filter_map(|offset| Some((offset.queue_id, u64::try_from(offset.offset).ok()?)))
                .collect(),
            queues: HashMap::new(),
            open: HashMap::new(),
            count: 0,
        }
    }

    pub(super) fn note(&mut self, position: u64, record: &RecordView<'_>) {
        self.count += 1;
        let (queue_id, offset) = (record.queue_id(), record.queue_offset());
        let key = record.property(UNIQ_KEY).map_or(0, |key| {
            BuildHasherDefault::<DefaultHasher>::default()
                .hash_one(key)
                .max(1)
        });
        self.queues.entry(queue_id).or_default().note(offset, key);
        let done_before = self.done_before.get(&queue_id).copied().unwrap_or(0);
        if offset >= done_before {
            self.open.insert((queue_id, offset), Open { position, key });
        }
    }

    /// A record that ends half messages: its body is their offsets, with commas between them.
    pub(super) fn note_end(&mut self, record: &RecordView<'_>) {
        let Ok(body) = std::str::from_utf8(record.body()) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&record.queue_id()) else {
            return;
        };
        for offset in body.split(',').filter_map(|offset| offset.trim().parse().ok()) {
            if let Some(ended) = queue.at(offset).and_then(|at| queue.ended.get_mut(at)) {
                *ended = true;
            }
        }
    }

    /// Where those are that are pending.
    pub(super) fn pending(&self) -> HashSet<u64> {
        let open_keys: HashSet<u64> = self.open.values().map(|open| open.key).collect();
        let ended_keys: HashSet<u64> = self
            .queues
            .values()
            .flat_map(|queue| queue.keys.iter().zip(&queue.ended))
            .filter(|(key, ended)| **ended && **key != 0 && open_keys.contains(key))
            .map(|(key, _)| *key)
            .collect();
        let is_ended = |queue_id: u32, offset: u64| {
            let queue = self.queues.get(&queue_id);
            queue.is_some_and(|queue| queue.at(offset).is_some_and(|at| queue.ended[at]))
        };
        let mut pending = HashSet::new();
        let mut last: HashMap<u64, u64> = HashMap::new();
        for ((queue_id, offset), open) in &self.open {
            if is_ended(*queue_id, *offset) || ended_keys.contains(&open.key) {
                continue;
            }
            if open.key == 0 {
                pending.insert(open.position);
            } else {
                let position = last.entry(open.key).or_default();
                *position = open.position.max(*position);
            }
        }
        pending.extend(last.into_values());
        pending
    }

    /// How many are not pending any more.
    pub(super) fn ended(&self) -> u64 {
        self.count - self.pending().len() as u64
    }
}
