//! Ids of recent sends, so that one that is tried again is stored once.
//!
//! ```text
//!   send --begin--> new: goes on, and is told how it ended ----> stored at a position | forgotten
//!                   on its way: waits for that                        (whoever waited is told)
//!                   stored: compared with the record, and answered with its place
//! ```
//!
//! An id is a hash of topic and unique key, 16 bytes with the position. It only says where to look: the record that lies there
//! says whether it is the same message. Two generations: when the young one is full it becomes the old one, and that is
//! forgotten. So between half of the ids that may be remembered and all of them are, the newest ones.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use kourou_engine::record::{KeyHash, RecordView, STATE_TOPIC};
use parking_lot::Mutex;

use crate::name;
use crate::state::{Fields, Writer};

/// Each has a lock of its own.
const SHARDS: usize = 64;
/// In the place of a position: the send is on its way. No record lies there.
const ON_ITS_WAY: u64 = u64::MAX;
const VERSION: u8 = 1;

/// Who waits for the end of the first send with its id. Told where that is stored, or that it is not.
pub(super) type Waiter = Box<dyn FnOnce(Option<u64>) + Send>;

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nothing was; now the send of this caller is on its way.
    New,
    /// A send with this id is on its way.
    OnItsWay,
    /// One is stored there, unless its record says otherwise.
    Stored(u64),
}

/// The ids.
pub(crate) struct RecentSends {
    shards: Box<[Mutex<Shard>]>,
    /// Ids of one generation of a shard; 0 if nothing is remembered.
    generation_max: usize,
    /// How long an id counts.
    window_ms: i64,
    /// The log has been read; from here on sends tell themselves what became of them.
    live: AtomicBool,
}

#[derive(Default)]
struct Shard {
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    waiting: HashMap<u64, Vec<Waiter>, RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    position: u64,
}

impl fmt::Debug for RecentSends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} recent sends", self.len())
    }
}

impl RecentSends {
    /// Remembers up to `ids_max` ids, for `window_ms`. With 0 of either it remembers nothing.
    pub(crate) fn new(window_ms: i64, ids_max: usize) -> Self {
        let generation_max = if window_ms > 0 && ids_max > 0 {
            (ids_max / (2 * SHARDS)).max(1)
        } else {
            0
        };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            generation_max,
            window_ms,
            live: AtomicBool::new(false),
        }
    }

    /// Whether anything is remembered at all.
    pub(super) fn is_on(&self) -> bool {
        self.generation_max > 0
    }

    /// Whether a send at `now_ms` can be the retry of one that was stored at `store_ms`.
    pub(super) fn is_recent(&self, store_ms: i64, now_ms: i64) -> bool {
        now_ms.saturating_sub(store_ms) <= self.window_ms
    }

    /// The log has been read.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Takes in a record of the log while that is read at the start.
    pub(crate) fn replay(&self, record: &RecordView<'_>) {
        if !self.is_on() || self.live.load(Ordering::Relaxed) || !is_send(record) {
            return;
        }
        if let Some(id) = record.unique_key() {
            self.shard(id)
                .lock()
                .remember(id.value(), record.position(), self.generation_max);
        }
    }

    /// Asks what is known of an id. If it is new, [`RecentSends::stored`] or [`RecentSends::failed`] must follow.
    pub(super) fn begin(&self, id: KeyHash) -> Begun {
        let hash = id.value();
        let mut shard = self.shard(id).lock();
        match shard.position(hash) {
            None => {
                shard.remember(hash, ON_ITS_WAY, self.generation_max);
                Begun::New
            }
            Some(ON_ITS_WAY) => Begun::OnItsWay,
            Some(position) => Begun::Stored(position),
        }
    }

    /// What is known of an id, for a send that has another: never [`Begun::New`].
    pub(super) fn find(&self, id: KeyHash) -> Option<Begun> {
        let position = self.shard(id).lock().position(id.value())?;
        Some(if position == ON_ITS_WAY {
            Begun::OnItsWay
        } else {
            Begun::Stored(position)
        })
    }

    /// What is stored under an id is another message; this one is on its way now, and to be told as after [`Begun::New`]. False if
    /// yet another is.
    pub(super) fn replace(&self, id: KeyHash) -> bool {
        let mut shard = self.shard(id).lock();
        let is_free = shard.position(id.value()) != Some(ON_ITS_WAY);
        if is_free {
            shard.remember(id.value(), ON_ITS_WAY, self.generation_max);
        }
        is_free
    }

    /// Has `waiter` told when the send that is on its way has ended; gives it back if none is.
    pub(super) fn wait(&self, id: KeyHash, waiter: Waiter) -> Result<(), Waiter> {
        let mut shard = self.shard(id).lock();
        if shard.position(id.value()) != Some(ON_ITS_WAY) {
            return Err(waiter);
        }
        shard.waiting.entry(id.value()).or_default().push(waiter);
        Ok(())
    }

    /// A send is stored. Returns who waited for that.
    pub(super) fn stored(&self, id: KeyHash, position: u64) -> Vec<Waiter> {
        let mut shard = self.shard(id).lock();
        shard.remember(id.value(), position, self.generation_max);
        shard.no_longer_waiting(id.value())
    }

    /// A send is not stored. Returns who waited for that.
    pub(super) fn failed(&self, id: KeyHash) -> Vec<Waiter> {
        let hash = id.value();
        let mut shard = self.shard(id).lock();
        let shard = &mut *shard;
        for generation in [&mut shard.young, &mut shard.old] {
            if let Ok(entry) = generation.find_entry(hash, |entry| entry.is(hash)) {
                entry.remove();
            }
        }
        shard.no_longer_waiting(hash)
    }

    /// How many ids are remembered.
    pub(crate) fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(count).sum()
    }

    /// The ids of what is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION);
        let count_at = out.count_later();
        let mut count = 0;
        for shard in &self.shards {
            let shard = shard.lock();
            for entry in shard.old.iter().chain(&shard.young) {
                if entry.position != ON_ITS_WAY {
                    out.u64(entry.hash);
                    out.u64(entry.position);
                    count += 1;
                }
            }
        }
        out.set_count(count_at, count);
        out.finish()
    }

    /// Takes ids as [`RecentSends::encode`] gave them; none of what is damaged or of another version.
    pub(crate) fn restore(&self, state: &[u8]) {
        if self.is_on() && !state.is_empty() && self.read(&mut Fields::new(state)).is_none() {
            tracing::warn!(
                "the ids of recent sends are damaged: a send that is retried now may be stored twice"
            );
        }
    }

    fn read(&self, fields: &mut Fields<'_>) -> Option<()> {
        if fields.u8()? != VERSION {
            return None;
        }
        for _ in 0..fields.count()? {
            let (hash, position) = (fields.u64()?, fields.u64()?);
            self.shard_of(hash)
                .lock()
                .remember(hash, position, self.generation_max);
        }
        Some(())
    }

    fn shard(&self, id: KeyHash) -> &Mutex<Shard> {
        self.shard_of(id.value())
    }

    fn shard_of(&self, hash: u64) -> &Mutex<Shard> {
        // The tables use the ends of the hash.
        let at = (hash >> 32) as usize % SHARDS;
        &self.shards[at]
    }
}

/// Whether a record is what a client sent, rather than what the broker made of it later, and could be sent again.
fn is_send(record: &RecordView<'_>) -> bool {
    let topic = record.topic();
    record.prepared_transaction_offset() == 0
        && record.reconsume_times() == 0
        && topic != STATE_TOPIC
        && !name::is_retry_topic(topic)
        && !name::is_dlq_topic(topic)
}

impl Entry {
    fn is(&self, hash: u64) -> bool {
        self.hash == hash
    }
}

impl Shard {
    fn position(&self, hash: u64) -> Option<u64> {
        let find = |generation: &HashTable<Entry>| {
            generation
                .find(hash, |entry| entry.is(hash))
                .map(|entry| entry.position)
        };
        find(&self.young).or_else(|| find(&self.old))
    }

    fn remember(&mut self, hash: u64, position: u64, generation_max: usize) {
        if let Some(entry) = self.young.find_mut(hash, |entry| entry.is(hash)) {
            entry.position = position;
            return;
        }
        if self.young.len() >= generation_max {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young
            .insert_unique(hash, Entry { hash, position }, |entry| entry.hash);
    }

    fn no_longer_waiting(&mut self, hash: u64) -> Vec<Waiter> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.waiting.remove(&hash).unwrap_or_default()
    }
}
