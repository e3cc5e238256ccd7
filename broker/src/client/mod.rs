//! Clients: who is connected for which group, what they subscribe to, and telling them when that changes.

mod ask;
mod heartbeat;
mod registry;
mod remembered;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use ask::{Answer, AnswerDone, AskError, OffsetsReset, Question, QuestionKind};
pub(crate) use heartbeat::{SYS_FLAG_UNIT, SYS_FLAG_UNIT_SUBSCRIBED};
pub(crate) use registry::{ClientRegistry, Subscribed, Subscription};
pub(crate) use remembered::RememberedSubscriptions;

use crate::transaction::TransactionCheck;

/// A number for a channel: no other of this process has or had it, whichever frontend it belongs to.
pub fn next_channel_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A connection, as a frontend has it. Calls come from any thread and must not block.
pub trait ClientChannel: Debug + Send + Sync + 'static {
    /// A number that no other channel of this process has or had.
    fn id(&self) -> u64;

    /// The address of the other end.
    fn remote_addr(&self) -> SocketAddr;

    /// Tells the client that the members of `group` have changed, without waiting for an answer.
    fn notify_consumer_ids_changed(&self, group: &str);

    /// Asks a producer what became of a transaction, without waiting for an answer: that is a request of its own. False if the
    /// question was not sent, because the client is slow or gone.
    fn check_transaction(&self, check: &TransactionCheck<'_>) -> bool;

    /// Asks the client something and waits for its answer; not on the calling thread. `done` runs exactly once, also when the
    /// connection ends first.
    fn ask(&self, question: Question, done: AnswerDone) {
        drop(question);
        done(Err(AskError::NotSupported));
    }

    /// Tells a consumer to go on at other offsets, without waiting for an answer. False if it was not told, because it is slow or
    /// gone.
    fn reset_offsets(&self, _reset: &OffsetsReset<'_>) -> bool {
        false
    }

    /// Tells a client that it does not subscribe to a lite topic any more, because another client of its group does. False if it was
    /// not told, because it is slow or gone.
    fn unsubscribe_lite(&self, _lite_topic: &str) -> bool {
        false
    }

    /// Closes the connection: the client has not been heard for too long.
    fn close(&self) {}
}

/// How consumers get their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumeType {
    /// The program pulls.
    Actively,
    /// The client library pulls and calls the program.
    #[default]
    Passively,
    /// By pop.
    Pop,
}

/// How the members of a group share messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageModel {
    /// Each message to every member.
    Broadcasting,
    /// Each message to one member.
    #[default]
    Clustering,
}

/// Where a consumer says it starts without an offset. The broker only passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumeFromWhere {
    /// From the newest message.
    #[default]
    LastOffset,
    /// Deprecated.
    LastOffsetAndFromMinWhenBootFirst,
    /// Deprecated.
    MinOffset,
    /// Deprecated.
    MaxOffset,
    /// From the oldest message.
    FirstOffset,
    /// From a time.
    Timestamp,
}

/// What a consumer subscribes to in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionData {
    /// The topic.
    pub topic: String,
    /// The filter expression.
    pub expression: String,
    /// Its language: "TAG" (also if empty) or "SQL92".
    pub expression_type: String,
    /// The tags of a tag expression.
    pub tags: Vec<String>,
    /// Their hashes.
    pub codes: Vec<i32>,
    /// Whether a class filters; the broker then does not.
    pub class_filter_mode: bool,
    /// The consumer's clock when it subscribed: the newest wins.
    pub version: i64,
}

/// One consumer group in a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerData {
    /// The group.
    pub group: String,
    /// How it gets its messages.
    pub consume_type: ConsumeType,
    /// How its members share them.
    pub message_model: MessageModel,
    /// Where it starts without an offset.
    pub consume_from_where: ConsumeFromWhere,
    /// What it subscribes to.
    pub subscriptions: Vec<SubscriptionData>,
    /// Whether it works in a unit.
    pub unit_mode: bool,
}

/// A heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeartbeatData {
    /// The client.
    pub client_id: String,
    /// Its language, by the protocol's number.
    pub language: u8,
    /// Its version, by the protocol's number.
    pub version: i32,
    /// Producer groups it has.
    pub producer_groups: Vec<String>,
    /// Consumer groups it has.
    pub consumers: Vec<ConsumerData>,
    /// Digest of the subscriptions; 0 for clients that do not use it.
    pub fingerprint: i32,
    /// Whether the subscriptions were left out because the broker should know them by their fingerprint.
    pub without_subscriptions: bool,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatReceipt {
    /// Whether the broker knew other subscriptions, or none: the client should send them in full.
    pub subscriptions_changed: bool,
}

/// One connected client of a group.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id.
    pub client_id: Arc<str>,
    /// Its language, by the protocol's number.
    pub language: u8,
    /// Its version, by the protocol's number.
    pub version: i32,
    /// Its connection.
    pub channel: Arc<dyn ClientChannel>,
    /// When it was last heard.
    pub last_heard_ms: i64,
}

/// The connections of a consumer group, for administrators.
#[derive(Debug, Clone)]
pub struct ConsumerConnections {
    /// The clients.
    pub clients: Vec<Client>,
    /// How they get their messages.
    pub consume_type: ConsumeType,
    /// How they share them.
    pub message_model: MessageModel,
    /// Where they start without an offset.
    pub consume_from_where: ConsumeFromWhere,
    /// What they subscribe to.
    pub subscriptions: Vec<Arc<SubscriptionData>>,
}
