//! The ledger: what was asked for, what was answered and what anybody was given, kept outside the broker and compared with
//! what it does.
//!
//! It is told at the moment at which the broker speaks, not when somebody hears it: an answer that the network loses
//! is a promise all the same.

mod batches;
mod groups;
mod lites;
mod locks;
mod offsets;
pub(crate) mod quotas;
mod resumes;

use std::collections::{BTreeMap, BTreeSet};

use kourou_broker::code;
use kourou_broker::send::SendReceipt;
use kourou_broker::transaction::Decision;
use kourou_engine::record::RecordView;

use crate::clients::urgent;
pub use crate::message::{Content, MessageId, MessageKind, Misfit};
use crate::promise::{Promise, Violation};
pub use groups::{GroupLedger, Popping};
pub use lites::LiteLedger;
pub use locks::LockLedger;
pub use offsets::OffsetLedger;
pub use quotas::QuotaLedger;

/// A place in a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue_id: u32,
    /// The offset.
    pub offset: u64,
}

/// What was answered to a send.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The queue.
    pub queue_id: u32,
    /// The offset there.
    pub offset: u64,
    /// Where the record is in the log.
    pub position: u64,
    /// What takes it back, of a timer.
    pub recall_handle: String,
}

/// What is known of a message.
#[derive(Debug, Clone)]
pub struct Known {
    /// What is in it.
    pub content: Content,
    /// How often the broker was asked to store it.
    pub attempts: u32,
    /// The broker's clock at the first attempt.
    pub first_ms: i64,
    /// Whether the time that retried sends are remembered may have passed between attempts.
    pub forgotten: bool,
    last_ms: i64,
    /// How often the clock had been set at the first attempt.
    clock_sets: u32,
    /// The first answer that said it is stored.
    pub stored: Option<Stored>,
    /// When that was, in milliseconds from the beginning.
    pub stored_at_ms: Option<i64>,
    /// Whether somebody tried to take it back, and whether the broker said that it did.
    pub recall: Recall,
    /// Decisions that the broker was told.
    pub told: Vec<Decision>,
    /// The decision that the broker said is durable.
    pub ended: Option<Decision>,
    /// Whether somebody asked for it once more, after it was given up.
    pub is_resumed: bool,
    /// Where it was seen in its own topic.
    pub places: Vec<Place>,
}

/// Taking a timer back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// Nobody tried.
    No,
    /// Somebody did, and did not hear that it was done.
    Tried,
    /// It was done.
    Done,
}

/// A message, as somebody is given it: alone, or out of a batch.
struct Shown<'a> {
    topic: &'a str,
    queue_id: u32,
    offset: u64,
    position: u64,
    body: &'a [u8],
    unique_key: Option<&'a str>,
    tag: Option<&'a str>,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Ledger {
    messages: Vec<Known>,
    places: BTreeMap<Place, MessageId>,
    received: BTreeSet<(&'static str, MessageId)>,
    /// The groups that pop.
    pub groups: GroupLedger,
    /// Locks of queues.
    pub locks: LockLedger,
    /// What clients subscribe to of lite topics.
    pub lites: LiteLedger,
    /// What quotas have left.
    pub quotas: QuotaLedger,
    /// Given up transactions that somebody resumes, by where they lie, and whether the broker said that it has done so.
    resumes: BTreeMap<u64, bool>,
    /// Committed offsets.
    pub offsets: OffsetLedger,
    /// The latest that the broker's clock has shown.
    pub clock_max_ms: i64,
    /// The broken promise, if there is one.
    pub violation: Option<Violation>,
    /// The time, for violations.
    pub now_ms: i64,
    /// Where the log begins: what was stored before is kept no longer.
    pub(crate) expired_below: u64,
    /// How often the broker's clock was set.
    pub clock_sets: u32,
    /// How long retried sends are remembered.
    pub window_ms: i64,
}

/// Topics whose messages may vanish, because somebody deletes them.
pub const SCRATCH_TOPIC: &str = "scratch";

impl Ledger {
    /// A promise was broken; the first one counts.
    pub fn broken(&mut self, promise: Promise, what: impl Into<String>) {
        let at_ms = self.now_ms;
        self.violation.get_or_insert_with(|| Violation {
            promise,
            at_ms,
            what: what.into(),
        });
    }

    /// A new message; `content` is made with its number.
    pub fn create(&mut self, content: impl FnOnce(MessageId) -> Content) -> MessageId {
        let id = self.messages.len() as MessageId;
        self.messages.push(Known {
            content: content(id),
            attempts: 0,
            first_ms: 0,
            forgotten: false,
            last_ms: 0,
            clock_sets: 0,
            stored: None,
            stored_at_ms: None,
            recall: Recall::No,
            told: Vec::new(),
            ended: None,
            is_resumed: false,
            places: Vec::new(),
        });
        id
    }

    /// A message.
    pub fn message(&self, id: MessageId) -> &Known {
        &self.messages[id as usize]
    }

    /// All messages.
    pub fn messages(&self) -> &[Known] {
        &self.messages
    }

    fn known(&mut self, id: MessageId) -> &mut Known {
        &mut self.messages[id as usize]
    }

    /// A send has reached the broker, whose clock shows `wall_ms`.
    pub fn send_arrives(&mut self, id: MessageId, wall_ms: i64) {
        let (window_ms, clock_sets) = (self.window_ms, self.clock_sets);
        let known = self.known(id);
        if known.attempts == 0 {
            known.first_ms = wall_ms;
            known.clock_sets = clock_sets;
        } else {
            // Once a retry came late, or the clock was set back, it may be stored again.
            let passed_ms = wall_ms - known.first_ms;
            known.forgotten |= wall_ms < known.last_ms || passed_ms >= window_ms;
        }
        known.attempts += 1;
        known.last_ms = wall_ms;
    }

    /// The broker says that a message is stored.
    pub fn sent(&mut self, id: MessageId, receipt: &SendReceipt) {
        let stored = Stored {
            queue_id: receipt.queue_id,
            offset: receipt.queue_offset,
            position: receipt.position,
            recall_handle: receipt.recall_handle.clone(),
        };
        self.is_stored(id, stored);
    }

    fn is_stored(&mut self, id: MessageId, stored: Stored) {
        let now_ms = self.now_ms;
        let known = self.known(id);
        let (topic, kind) = (known.content.topic, known.content.kind);
        if kind.is_misfit() {
            let what = format!(
                "message {id} was taken, which is none for {topic}: {:?}",
                known.content
            );
            return self.broken(Promise::Refusals, what);
        }
        if let MessageKind::Urgent { priority } = kind
            && stored.queue_id != priority.min(urgent::QUEUES as u32 - 1)
        {
            let what = format!(
                "message {id} of priority {priority} is in queue {}",
                stored.queue_id
            );
            return self.broken(Promise::Priorities, what);
        }
        known.stored_at_ms.get_or_insert(now_ms);
        let is_placed = !kind.waits();
        let differs = known.stored.as_ref().is_some_and(|before| {
            !known.forgotten && topic != SCRATCH_TOPIC && before.position != stored.position
        });
        if known.stored.is_none() {
            known.stored = Some(stored.clone());
        }
        if differs {
            self.broken(
                Promise::StoredOnce,
                format!("message {id} is said to be at two places, the second {stored:?}"),
            );
        }
        if is_placed {
            self.placed(id, topic, stored.queue_id, stored.offset);
        }
    }

    /// A message is at a place of a queue: nothing else ever was or will be.
    fn placed(&mut self, id: MessageId, topic: &str, queue_id: u32, offset: u64) {
        let place = Place {
            topic: topic.to_owned(),
            queue_id,
            offset,
        };
        let before = *self.places.entry(place.clone()).or_insert(id);
        if before != id {
            let what = format!("{place:?} holds message {id}, and held message {before}");
            return self.broken(Promise::OrderOfQueues, what);
        }
        let known = self.known(id);
        if known.content.topic == topic && !known.places.contains(&place) {
            known.places.push(place);
            let may_be_twice = known.forgotten || topic == SCRATCH_TOPIC;
            let places = known.places.clone();
            if places.len() > 1 && !may_be_twice {
                self.broken(
                    Promise::StoredOnce,
                    format!(
                        "message {id} is at {places:?}, after {} attempts",
                        self.message(id).attempts
                    ),
                );
            }
        }
    }

    /// The broker refuses to store a message.
    pub fn refused(&mut self, id: MessageId, code: i32, text: &str) {
        let is_its_fault = [code::MESSAGE_ILLEGAL, code::INVALID_PARAMETER].contains(&code);
        let content = &self.message(id).content;
        if is_its_fault && !content.kind.is_misfit() {
            let what = format!("message {id} is refused, which is like others: {text}; {content:?}");
            self.broken(Promise::Refusals, what);
        }
    }

    /// Somebody is given this record, which is no batch. Returns whose message it is; `None` if a promise is broken by that.
    pub fn seen(&mut self, view: &RecordView<'_>) -> Option<MessageId> {
        self.shown(&Shown {
            topic: view.topic(),
            queue_id: view.queue_id(),
            offset: view.queue_offset(),
            position: view.position(),
            body: view.body(),
            unique_key: view.property("UNIQ_KEY"),
            tag: view.property("TAGS"),
        })
    }

    fn shown(&mut self, shown: &Shown<'_>) -> Option<MessageId> {
        let Some(id) = crate::message::id_of(shown.body).filter(|id| (*id as usize) < self.messages.len())
        else {
            let what = format!(
                "{}@{} has at offset {} a body that nobody sent",
                shown.topic, shown.queue_id, shown.offset
            );
            self.broken(Promise::NothingWrongIsServed, what);
            return None;
        };
        let known = self.message(id);
        let content = &known.content;
        if shown.body != content.body()
            || shown.unique_key != Some(&content.unique_key())
            || shown.tag != Some(content.tag)
        {
            let what = format!(
                "message {id} is served with another content at {}",
                shown.position
            );
            self.broken(Promise::NothingWrongIsServed, what);
            return None;
        }
        if content.kind.is_misfit() {
            let what = format!("message {id} is served, which was none to be taken: {content:?}");
            self.broken(Promise::Refusals, what);
            return None;
        }
        if known.attempts == 0 {
            self.broken(
                Promise::NothingWrongIsServed,
                format!("message {id} was never sent"),
            );
            return None;
        }
        if let Some(why) = self.too_soon(id, shown.topic) {
            self.broken(why.0, why.1);
            return None;
        }
        self.placed(id, shown.topic, shown.queue_id, shown.offset);
        Some(id)
    }

    /// Why a message should not be visible yet, or ever.
    fn too_soon(&self, id: MessageId, topic: &str) -> Option<(Promise, String)> {
        let known = self.message(id);
        let due_ms = match known.content.kind {
            kind if !kind.waits() => return None,
            MessageKind::Half { .. } if topic == "TRANS_CHECK_MAX_TIME_TOPIC" => return None,
            MessageKind::Half { .. } => {
                let committed = known.told.contains(&Decision::Commit);
                let rolled_back = known.ended == Some(Decision::Rollback);
                return (!committed || rolled_back).then(|| {
                    let what = format!(
                        "message {id} is visible in {topic}; the broker was told {:?} and answered {:?}",
                        known.told, known.ended
                    );
                    (Promise::Transactions, what)
                });
            }
            MessageKind::Timer { due_ms } => due_ms,
            // What counts from the clock of the send says nothing once that was set.
            MessageKind::Level(_) if known.clock_sets != self.clock_sets => return None,
            MessageKind::Level(level) => {
                known.first_ms + kourou_broker::DELAY_LEVELS_MS[usize::try_from(level - 1).unwrap_or(0)]
            }
            _ => return None,
        };
        if self.clock_max_ms < due_ms {
            let early_ms = due_ms - self.clock_max_ms;
            return Some((
                Promise::Timers,
                format!("message {id} is visible {early_ms} ms early"),
            ));
        }
        (known.recall == Recall::Done && !known.forgotten).then(|| {
            (
                Promise::Timers,
                format!("message {id} is visible although it was recalled"),
            )
        })
    }

    /// The broker was told a decision.
    pub fn decision_arrives(&mut self, id: MessageId, decision: Decision) {
        self.known(id).told.push(decision);
    }

    /// The broker says that a decision is durable.
    pub fn ended(&mut self, id: MessageId, decision: Decision) {
        let before = *self.known(id).ended.get_or_insert(decision);
        if before != decision {
            self.broken(
                Promise::Transactions,
                format!("message {id} was ended by {before:?}, and is said to be ended by {decision:?}"),
            );
        }
    }

    /// Somebody tries to take a timer back.
    pub fn recall_arrives(&mut self, id: MessageId) {
        let known = self.known(id);
        if known.recall == Recall::No {
            known.recall = Recall::Tried;
        }
    }

    /// The broker says that a timer was taken back.
    pub fn recalled(&mut self, id: MessageId) {
        let known = self.known(id);
        known.recall = Recall::Done;
        // One that was stored twice may have been seen where it did not wait.
        if !known.places.is_empty() && !known.forgotten {
            self.broken(
                Promise::Timers,
                format!("message {id} is said to be recalled, and was seen before"),
            );
        }
    }

    /// What is known of a queue below an offset: offsets, and whose messages are there.
    pub(crate) fn before<'a>(
        &'a self,
        topic: &'a str,
        queue_id: u32,
        offsets: std::ops::Range<u64>,
    ) -> impl Iterator<Item = (u64, MessageId)> + 'a {
        let place = |offset| Place {
            topic: topic.to_owned(),
            queue_id,
            offset,
        };
        let range = (offsets.start <= offsets.end).then(|| place(offsets.start)..place(offsets.end));
        range
            .into_iter()
            .flat_map(|range| self.places.range(range))
            .map(|(place, id)| (place.offset, *id))
    }

    /// The message that is at a place, if it is known.
    pub fn at(&self, topic: &str, queue_id: u32, offset: u64) -> Option<MessageId> {
        let place = Place {
            topic: topic.to_owned(),
            queue_id,
            offset,
        };
        self.places.get(&place).copied()
    }

    /// A member of a pulling group has consumed a message.
    pub fn received(&mut self, group: &'static str, id: MessageId) {
        self.received.insert((group, id));
    }

    /// Whether a member of a pulling group has consumed a message.
    pub fn was_received(&self, group: &'static str, id: MessageId) -> bool {
        self.received.contains(&(group, id))
    }
}
