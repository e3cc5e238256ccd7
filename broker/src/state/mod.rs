//! What the broker derives from the log: topics, groups, offsets, timers, transactions. One composite view, one checkpoint.
//!
//! A state record is one change. Its kind is the record's queue id, its payload begins with the version of the encoding:
//!
//! ```text
//! kind 1  topic put      u8 version, bool only if absent, topic config
//! kind 2  topic delete   u8 version, text topic, u32 count, then u32 queue id, u64 end of the queue for each
//! kind 3  group put      u8 version, bool only if absent, group config
//! kind 4  group delete   u8 version, text group, bool with its offsets
//! kind 5  offsets        u8 version, u32 count, then text group, text topic, u32 queue id, i64 offset for each
//! kind 6  subscriptions  u8 version, text group, bool broadcasting, u32 count, then for each text topic, text expression,
//!                        text its type, bool by class, i64 version, u32 count of tag hashes, i32 each
//! kind 7  rolled back    u8 version, u64 position of the half message
//! kind 8  checked        u8 version, u32 count, then for each u64 position of the half message, u32 how often its producer
//!                        has been asked
//! kind 9  recalled       u8 version, u32 count, then u64 position of each timer
//!
//! kind 40 offsets set    u8 version, text group, text topic, bool until pulled, u32 count, then u32 queue id, u64 offset for
//!                        each: from outside; until a pull of the group is sent there if the bool says so
//! kind 41 reset taken    u8 version, text group, text topic, u32 queue id, u64 position of the kind 40 that a pull was sent
//!                        after
//! kinds 20 to 25         deliveries: see `delivery/record.rs`
//! kinds 50 and 51        lite topics: see `lite/record.rs`
//! kinds 60 and 61        of an import, the engine's: see `engine/src/record/state.rs`
//! kind 26 request mode   u8 version, text topic, text group, u8 0 pull or 1 pop, i32 how many share a queue
//!
//! checkpoint             u32 magic, u16 version, then sections, each as u16 tag, u64 size, bytes. Versions 1 and 2 had no
//!                        tags: there the sections are the first six and the first seven of the table, in its order
//! ```
//!
//! The checkpoint holds all that records before it meant, so that they may expire.
//!
//! Beside it the ids of recent sends, which may be newer than it: u8 version, u32 count, then for each u64 hash of topic and unique
//! key, u64 position.

mod codec;
mod kind;

use std::fmt;
use std::sync::{Arc, OnceLock};

use kourou_engine::record::{
    IMPORTED, QUEUES_BEGIN, RecordView, STATE_TOPIC, SYS_FLAG_TRANSACTION_COMMIT, SYS_FLAG_TRANSACTION_MASK,
    SYS_FLAG_TRANSACTION_PREPARED,
};
use kourou_engine::{Arrival, LaterState, View};

pub(crate) use codec::{Fields, Writer};
pub use kind::state_name;

use crate::assign::{RequestModeConfig, RequestModes};
use crate::client::{MessageModel, RememberedSubscriptions, SubscriptionData};
use crate::delivery::{
    ACKED_IN_ORDER, Applied, CHANGED, CHANGED_IN_ORDER, DeliveryTable, ENDED, GroupQueueKey, POPPED,
    POPPED_IN_ORDER, PopHolds, RETRY_OF, RetryOf,
};
use crate::group::{GroupConfig, GroupTable};
use crate::lite::{self, Forgotten, LiteTable, Placed, is_lite_queue};
use crate::name::{CHECK_MAX_TIME_TOPIC, HALF_TOPIC};
use crate::offset::{OffsetTable, ResetTable};
use crate::options::BrokerOptions;
use crate::property;
use crate::queue::QueueKey;
use crate::receive::Holds;
use crate::send::RecentSends;
use crate::timer::{TimerTable, timer_of};
use crate::topic::{Floors, Listener, TopicConfig, TopicTable};
use crate::transaction::{Half, Outcome, ResumedTable, TransactionTable};

const VERSION: u8 = 1;
const CHECKPOINT_MAGIC: u32 = u32::from_le_bytes(*b"KBst");
const CHECKPOINT_VERSION: u16 = 3;
/// The oldest that is read.
const CHECKPOINT_VERSION_MIN: u16 = 1;

/// One part of a checkpoint.
struct Section {
    /// Never used again for anything else.
    tag: u16,
    name: &'static str,
    encode: fn(&State) -> Writer,
    restore: fn(&State, &mut Fields<'_>) -> Option<()>,
}

/// What a checkpoint consists of. A section that is missing was not known when it was written: that state stays empty.
const SECTIONS: [Section; 13] = [
    Section {
        tag: 1,
        name: "topics",
        encode: |state| state.topics.encode(),
        restore: |state, fields| state.topics.restore(fields),
    },
    Section {
        tag: 2,
        name: "floors",
        encode: |state| state.floors.encode(),
        restore: |state, fields| state.floors.restore(fields),
    },
    Section {
        tag: 3,
        name: "groups",
        encode: |state| state.groups.encode(),
        restore: |state, fields| state.groups.restore(fields),
    },
    Section {
        tag: 4,
        name: "offsets",
        encode: |state| state.offsets.encode(),
        restore: |state, fields| state.offsets.restore(fields),
    },
    Section {
        tag: 5,
        name: "timers",
        encode: |state| state.timers.encode(),
        restore: |state, fields| state.timers.restore(fields),
    },
    Section {
        tag: 6,
        name: "subscriptions",
        encode: |state| state.subscriptions.encode(),
        restore: |state, fields| state.subscriptions.restore(fields),
    },
    Section {
        tag: 7,
        name: "transactions",
        encode: |state| state.transactions.encode(),
        restore: |state, fields| state.transactions.restore(fields),
    },
    Section {
        tag: 8,
        name: "resumed transactions",
        encode: |state| state.resumed.encode(),
        restore: |state, fields| state.resumed.restore(fields),
    },
    Section {
        tag: 60,
        name: "places of half messages",
        encode: |state| state.transactions.encode_places(),
        restore: |state, fields| state.transactions.restore_places(fields),
    },
    Section {
        tag: 40,
        name: "resets",
        encode: |state| state.resets.encode(),
        restore: |state, fields| state.resets.restore(fields),
    },
    Section {
        tag: 20,
        name: "deliveries",
        encode: |state| state.deliveries.encode(),
        restore: |state, fields| state.deliveries.restore(fields),
    },
    Section {
        tag: 21,
        name: "request modes",
        encode: |state| state.request_modes.encode(),
        restore: |state, fields| state.request_modes.restore(fields),
    },
    Section {
        tag: 50,
        name: "lite topics",
        encode: |state| state.lite.encode(),
        restore: |state, fields| state.lite.restore(fields),
    },
];

/// One change, as it is logged.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// A topic is made or changed.
    TopicPut {
        /// Leave an existing topic as it is.
        only_if_absent: bool,
        config: &'a TopicConfig,
    },
    TopicDelete {
        topic: &'a str,
        /// Where its queues end: a later topic of that name begins there.
        queue_ends: &'a [(u32, u64)],
    },
    /// A group is made or changed.
    GroupPut {
        /// Leave an existing group as it is.
        only_if_absent: bool,
        config: &'a GroupConfig,
    },
    GroupDelete {
        group: &'a str,
        with_offsets: bool,
    },
    /// A group subscribes to topics, or anew.
    Subscribed {
        group: &'a str,
        message_model: MessageModel,
        news: &'a [&'a SubscriptionData],
    },
    /// A transaction is rolled back.
    RolledBack {
        /// Position of the half message.
        position: u64,
    },
    /// A group's offsets in a topic are set from outside.
    OffsetsSet {
        group: &'a str,
        topic: &'a str,
        /// Whether they hold against commits until a pull of the group is sent there.
        until_pulled: bool,
        offsets: &'a [(u32, u64)],
    },
    /// A pull has been sent where a reset says.
    ResetTaken {
        group: &'a str,
        topic: &'a str,
        queue_id: u32,
        /// Position of the reset's record.
        position: u64,
    },
    /// How a group's consumers get the messages of a topic.
    RequestMode {
        topic: &'a str,
        group: &'a str,
        config: RequestModeConfig,
    },
    /// Producers have been asked what became of their transactions.
    Checked {
        /// Positions of half messages, and how often each has been asked for.
        checks: &'a [(u64, u32)],
    },
    /// Messages that wait for their time are taken back.
    Recalled {
        /// Positions of their records.
        positions: &'a [u64],
    },
}

const TOPIC_PUT: u32 = 1;
const TOPIC_DELETE: u32 = 2;
const GROUP_PUT: u32 = 3;
const GROUP_DELETE: u32 = 4;
const OFFSETS: u32 = 5;
const SUBSCRIBED: u32 = 6;
const ROLLED_BACK: u32 = 7;
const CHECKED: u32 = 8;
const RECALLED: u32 = 9;
const OFFSETS_SET: u32 = 40;
const RESET_TAKEN: u32 = 41;
const REQUEST_MODE: u32 = 26;

impl Change<'_> {
    /// The record's kind and payload.
    pub(crate) fn encode(&self) -> (u16, Vec<u8>) {
        let mut out = Writer::new();
        out.u8(VERSION);
        let kind = match self {
            Self::TopicPut {
                only_if_absent,
                config,
            } => {
                out.bool(*only_if_absent);
                config.encode(&mut out);
                TOPIC_PUT
            }
            Self::TopicDelete { topic, queue_ends } => {
                out.text(topic);
                out.count(queue_ends.len());
                for (queue_id, end) in *queue_ends {
                    out.u32(*queue_id);
                    out.u64(*end);
                }
                TOPIC_DELETE
            }
            Self::GroupPut {
                only_if_absent,
                config,
            } => {
                out.bool(*only_if_absent);
                config.encode(&mut out);
                GROUP_PUT
            }
            Self::GroupDelete { group, with_offsets } => {
                out.text(group);
                out.bool(*with_offsets);
                GROUP_DELETE
            }
            Self::Subscribed {
                group,
                message_model,
                news,
            } => {
                RememberedSubscriptions::encode_news(group, *message_model, news, &mut out);
                SUBSCRIBED
            }
            Self::RolledBack { position } => {
                out.u64(*position);
                ROLLED_BACK
            }
            Self::OffsetsSet {
                group,
                topic,
                until_pulled,
                offsets,
            } => {
                out.text(group);
                out.text(topic);
                out.bool(*until_pulled);
                out.count(offsets.len());
                for (queue_id, offset) in *offsets {
                    out.u32(*queue_id);
                    out.u64(*offset);
                }
                OFFSETS_SET
            }
            Self::ResetTaken {
                group,
                topic,
                queue_id,
                position,
            } => {
                out.text(group);
                out.text(topic);
                out.u32(*queue_id);
                out.u64(*position);
                RESET_TAKEN
            }
            Self::RequestMode { topic, group, config } => {
                out.text(topic);
                out.text(group);
                config.encode(&mut out);
                REQUEST_MODE
            }
            Self::Checked { checks } => {
                out.count(checks.len());
                for (position, count) in *checks {
                    out.u64(*position);
                    out.u32(*count);
                }
                CHECKED
            }
            Self::Recalled { positions } => {
                out.count(positions.len());
                for position in *positions {
                    out.u64(*position);
                }
                RECALLED
            }
        };
        (kind as u16, out.finish())
    }
}

/// A record of committed offsets, as it is being put together.
#[derive(Debug)]
pub(crate) struct OffsetsWriter {
    out: Writer,
    count_at: usize,
    count: usize,
}

impl OffsetsWriter {
    pub(crate) const KIND: u16 = OFFSETS as u16;

    pub(crate) fn new() -> Self {
        let mut out = Writer::new();
        out.u8(VERSION);
        let count_at = out.count_later();
        Self {
            out,
            count_at,
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        self.out.text(group);
        self.out.text(topic);
        self.out.u32(queue_id);
        self.out.i64(offset);
        self.count += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.set_count(self.count_at, self.count);
        self.out.finish()
    }
}

/// The composite view.
pub(crate) struct State {
    pub(crate) topics: TopicTable,
    pub(crate) floors: Floors,
    pub(crate) groups: GroupTable,
    pub(crate) offsets: OffsetTable,
    pub(crate) resets: ResetTable,
    pub(crate) timers: TimerTable,
    pub(crate) transactions: TransactionTable,
    pub(crate) resumed: ResumedTable,
    pub(crate) deliveries: DeliveryTable,
    pub(crate) request_modes: RequestModes,
    pub(crate) pop_holds: PopHolds,
    pub(crate) lite: LiteTable,
    pub(crate) subscriptions: RememberedSubscriptions,
    pub(crate) recent: Arc<RecentSends>,
    pub(crate) holds: Holds,
    pub(crate) listener: OnceLock<Arc<dyn Listener>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("topics", &self.topics)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl State {
    /// That of a new store.
    pub(crate) fn new(options: &BrokerOptions) -> Self {
        Self {
            topics: TopicTable::built_in_by(options),
            floors: Floors::default(),
            groups: GroupTable::new(),
            offsets: OffsetTable::new(),
            resets: ResetTable::default(),
            timers: TimerTable::default(),
            resumed: ResumedTable::default(),
            transactions: TransactionTable::new(
                options.transaction_timeout_ms,
                options.transaction_check_interval_ms,
            ),
            deliveries: DeliveryTable::default(),
            request_modes: RequestModes::default(),
            pop_holds: PopHolds::new(
                options.limits.pop_holds_max,
                options.limits.pop_holds_per_queue_max,
            ),
            lite: LiteTable::new(
                options.limits.lite_topics_max,
                options.limits.lite_subscriptions_max,
            ),
            subscriptions: RememberedSubscriptions::default(),
            recent: Arc::new(RecentSends::new(
                options.retried_send_window_ms,
                options.retried_send_ids_max,
            )),
            holds: Holds::new(options.limits.holds_max),
            listener: OnceLock::new(),
        }
    }

    /// The views that records of deliveries change.
    fn deliveries_applied(&self) -> Applied<'_> {
        Applied {
            deliveries: &self.deliveries,
            offsets: &self.offsets,
            resets: &self.resets,
            topics: &self.topics,
            floors: &self.floors,
        }
    }

    /// Applies a record of deliveries.
    fn apply_delivery(&self, kind: u16, payload: &[u8]) -> Option<()> {
        let due_ms = self.deliveries_applied().apply(kind, Fields::new(payload))?;
        if let (Some(due_ms), Some(listener)) = (due_ms, self.listener.get()) {
            listener.timer_due(due_ms);
        }
        Some(())
    }

    fn apply_state(&self, kind: u32, payload: &[u8], store_ms: i64, position: u64) -> Option<()> {
        if let Ok(kind @ (POPPED | ENDED | CHANGED | POPPED_IN_ORDER | ACKED_IN_ORDER | CHANGED_IN_ORDER)) =
            u16::try_from(kind)
        {
            return self.apply_delivery(kind, payload);
        }
        if let Ok(kind @ (lite::ENDED | lite::SUBSCRIBED)) = u16::try_from(kind) {
            return self.apply_lite(kind, payload, store_ms);
        }
        let mut fields = Fields::new(payload);
        if fields.u8()? != VERSION {
            return None;
        }
        match kind {
            TOPIC_PUT => {
                let only_if_absent = fields.bool()?;
                self.topics
                    .put(TopicConfig::decode(&mut fields)?, only_if_absent, store_ms);
            }
            TOPIC_DELETE => {
                let topic = fields.text()?;
                self.topics.remove(topic, store_ms);
                self.offsets.remove_topic(topic);
                self.resets.remove_topic(topic);
                self.subscriptions.remove_topic(topic);
                self.deliveries.remove_topic(topic);
                for (queue_id, end) in self.lite.remove_topic(topic) {
                    self.floors.set(QueueKey { topic, queue_id }, end);
                }
                self.request_modes.remove_topic(topic);
                for _ in 0..fields.count()? {
                    let (queue_id, end) = (fields.u32()?, fields.u64()?);
                    self.floors.set(QueueKey { topic, queue_id }, end);
                }
            }
            GROUP_PUT => {
                let only_if_absent = fields.bool()?;
                self.groups
                    .put(GroupConfig::decode(&mut fields)?, only_if_absent, store_ms);
            }
            GROUP_DELETE => {
                let group = fields.text()?;
                self.groups.remove(group, store_ms);
                self.subscriptions.remove_group(group);
                self.resets.remove_group(group);
                self.deliveries.remove_group(group);
                self.lite.remove_group(group);
                self.request_modes.remove_group(group);
                if fields.bool()? {
                    self.offsets.remove_group(group);
                }
            }
            OFFSETS => {
                for _ in 0..fields.count()? {
                    let (group, topic) = (fields.text()?, fields.text()?);
                    let (queue_id, offset) = (fields.u32()?, fields.i64()?);
                    // A flush may be overtaken by the topic's deletion; its offsets must not come back.
                    // Nor may one that was under way undo a reset.
                    if self.topics.contains(topic) && !self.resets.is_logged(group, topic, queue_id) {
                        self.offsets.apply(group, topic, queue_id, offset);
                    }
                }
            }
            OFFSETS_SET => self.apply_offsets_set(&mut fields, position)?,
            RESET_TAKEN => {
                let (group, topic) = (fields.text()?, fields.text()?);
                let (queue_id, reset) = (fields.u32()?, fields.u64()?);
                self.resets.end(group, topic, queue_id, Some(reset));
            }
            SUBSCRIBED => self.subscriptions.apply(&mut fields)?,
            REQUEST_MODE => self.request_modes.apply(&mut fields)?,
            ROLLED_BACK => self.transactions.ended(fields.u64()?, Outcome::RolledBack),
            CHECKED => {
                for _ in 0..fields.count()? {
                    let (position, checks) = (fields.u64()?, fields.u32()?);
                    self.transactions.checked(position, checks, store_ms);
                }
            }
            RECALLED => {
                for _ in 0..fields.count()? {
                    self.timers.end(fields.u64()?);
                }
            }
            // The engine's own, of an import.
            kind if [QUEUES_BEGIN, IMPORTED].map(u32::from).contains(&kind) => {}
            _ => return None,
        }
        Some(())
    }
}

impl State {
    fn apply_offsets_set(&self, fields: &mut Fields<'_>, position: u64) -> Option<()> {
        let (group, topic, until_pulled) = (fields.text()?, fields.text()?, fields.bool()?);
        for _ in 0..fields.count()? {
            let (queue_id, offset) = (fields.u32()?, fields.u64()?);
            if !self.topics.contains(topic) {
                continue;
            }
            if until_pulled {
                self.resets.add(group, topic, queue_id, offset, position);
            } else {
                self.resets.end(group, topic, queue_id, None);
            }
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            self.offsets.set(group, topic, queue_id, offset);
            self.holds.wake_all(QueueKey { topic, queue_id });
            self.pop_holds.offset_set(topic, group, queue_id);
        }
        Some(())
    }

    /// Applies a record of lite topics.
    fn apply_lite(&self, kind: u16, payload: &[u8], store_ms: i64) -> Option<()> {
        let mut fields = Fields::new(payload);
        if fields.u8()? != VERSION {
            return None;
        }
        // The topic may have been deleted meanwhile.
        let topic = Fields::new(payload.get(1..)?).text()?;
        if !self.topics.contains(topic) {
            return Some(());
        }
        let applied = self.lite.apply(kind, &mut fields, store_ms)?;
        for Forgotten { group, queue_id } in applied.forgotten {
            self.offsets.remove_queue(&group, topic, queue_id);
            self.forget_deliveries(&group, topic, queue_id);
        }
        for (queue_id, floor) in applied.floors {
            self.floors.set(QueueKey { topic, queue_id }, floor);
        }
        for placed in applied.placed {
            let Placed {
                group,
                queue_id,
                offset,
            } = placed;
            self.forget_deliveries(&group, topic, queue_id);
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            self.offsets.set(&group, topic, queue_id, offset);
        }
        if let Some((group, client_id)) = applied.client {
            self.lite.wake_client(group, client_id);
        }
        Some(())
    }

    fn forget_deliveries(&self, group: &str, topic: &str, queue_id: u32) {
        self.resets.end(group, topic, queue_id, None);
        self.deliveries.remove_queue(GroupQueueKey {
            group,
            topic,
            queue_id,
        });
    }

    fn restore_section(&self, section: &Section, fields: &mut Fields<'_>) -> Result<(), String> {
        fields
            .section()
            .and_then(|mut inside| (section.restore)(self, &mut inside).filter(|()| inside.is_empty()))
            .ok_or_else(|| format!("its {} are damaged", section.name))
    }
}

impl View for State {
    fn apply(&self, record: &RecordView<'_>) {
        let topic = record.topic();
        self.recent.replay(record);
        if is_lite_queue(record.queue_id()) && self.topics.contains(topic) {
            let end = record.queue_offset() + 1;
            self.lite.stored(
                topic,
                record.queue_id(),
                record.properties(),
                end,
                record.store_ms(),
            );
        }
        let transaction_flag = record.sys_flag() & SYS_FLAG_TRANSACTION_MASK;
        if let Ok(origin @ 1..) = u64::try_from(record.prepared_transaction_offset()) {
            match transaction_flag {
                SYS_FLAG_TRANSACTION_COMMIT => self.transactions.ended(origin, Outcome::Committed),
                SYS_FLAG_TRANSACTION_PREPARED if topic == HALF_TOPIC => {
                    // One that is pending was appended anew; else it was given up and is resumed.
                    if self
                        .transactions
                        .moved(origin, record.position(), record.size_bytes())
                    {
                        return;
                    }
                    self.resumed.apply(origin);
                }
                0 if topic == CHECK_MAX_TIME_TOPIC => self.transactions.ended(origin, Outcome::GivenUp),
                0 => {
                    self.timers.end(origin);
                    if let Some(of) = record.property(RETRY_OF).and_then(RetryOf::parse) {
                        let key = GroupQueueKey {
                            group: of.group,
                            topic: of.topic,
                            queue_id: of.queue_id,
                        };
                        self.deliveries_applied()
                            .ended_by_message(key, of.offset, of.pop_ms);
                    }
                }
                _ => {}
            }
        }
        if topic == STATE_TOPIC {
            let kind = record.queue_id();
            let applied = self.apply_state(kind, record.body(), record.store_ms(), record.position());
            if applied.is_none() {
                tracing::error!(
                    kind,
                    position = record.position(),
                    "a state record means nothing to this version"
                );
            }
        } else if let Some(timer) = timer_of(record) {
            if self.timers.add(timer)
                && let Some(listener) = self.listener.get()
            {
                listener.timer_due(timer.due_ms);
            }
        } else if topic == HALF_TOPIC && transaction_flag == SYS_FLAG_TRANSACTION_PREPARED {
            self.transactions.add(&Half {
                position: record.position(),
                group: record.property(property::PGROUP).unwrap_or_default(),
                stored_ms: record.store_ms(),
                size_bytes: record.size_bytes(),
                immunity_s: record
                    .property(property::CHECK_IMMUNITY_TIME)
                    .and_then(|seconds| seconds.parse().ok()),
            });
        }
    }

    fn arrived(&self, arrivals: &[Arrival<'_>]) {
        self.holds.arrived(arrivals);
        self.pop_holds.arrived(arrivals);
        self.lite.arrived(arrivals);
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.checkpoint_later().encode()
    }

    fn checkpoint_later(&self) -> LaterState {
        let sections = SECTIONS
            .each_ref()
            .map(|section| (section.tag, (section.encode)(self)));
        LaterState::new(move || {
            let mut out = Writer::new();
            out.u32(CHECKPOINT_MAGIC);
            out.u16(CHECKPOINT_VERSION);
            for (tag, section) in sections {
                out.u16(tag);
                out.section(section);
            }
            out.finish()
        })
    }

    fn recent(&self) -> Vec<u8> {
        self.recent.encode()
    }

    fn restore_recent(&self, state: &[u8]) {
        self.recent.restore(state);
    }

    fn restore(&self, state: &[u8]) -> Result<(), String> {
        let mut fields = Fields::new(state);
        if fields.u32() != Some(CHECKPOINT_MAGIC) {
            return Err("it is not a broker's state".to_owned());
        }
        let version = match fields.u16() {
            Some(version @ CHECKPOINT_VERSION_MIN..=CHECKPOINT_VERSION) => version,
            found => {
                return Err(format!(
                    "it has version {found:?}, this program reads {CHECKPOINT_VERSION_MIN} to {CHECKPOINT_VERSION}"
                ));
            }
        };
        let untagged = match version {
            1 => SECTIONS.iter().take(6),
            2 => SECTIONS.iter().take(7),
            _ => SECTIONS.iter().take(0),
        };
        for section in untagged {
            self.restore_section(section, &mut fields)?;
        }
        while version >= 3 && !fields.is_empty() {
            let tag = fields.u16();
            let section = SECTIONS
                .iter()
                .find(|section| Some(section.tag) == tag)
                .ok_or_else(|| format!("it has a section {tag:?}, which this program does not know"))?;
            self.restore_section(section, &mut fields)?;
        }
        if fields.is_empty() {
            Ok(())
        } else {
            Err("it is longer than it should be".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
