//! What clients and the broker say to each other: what any frontend would have made of its protocol.

use bytes::Bytes;
use kourou_broker::Text;
use kourou_broker::client::HeartbeatData;
use kourou_broker::delivery::{AckOutcome, Changed, Handle, PopRequest, Popped};
use kourou_broker::group::GroupConfig;
use kourou_broker::lite::SyncRequest;
use kourou_broker::receive::{PullPlace, PullRequest};
use kourou_broker::send::SendReceipt;
use kourou_broker::send_back::SendBackRequest;
use kourou_broker::topic::TopicConfig;
use kourou_broker::transaction::EndTransaction;
use kourou_broker::{QueueName, RecallRequest};

use crate::ledger::MessageId;

/// A client, by its number.
pub(crate) type ClientId = usize;

/// A request, by its number.
pub(crate) type RequestId = u64;

/// What a client asks for.
#[derive(Debug, Clone)]
pub enum Request {
    Send(MessageId),
    /// Several at once.
    SendBatch {
        messages: Vec<MessageId>,
        harm: Option<BatchHarm>,
    },
    Pull {
        pull: PullRequest,
        hold_ms: i64,
    },
    Commit {
        group: Text,
        topic: Text,
        queue_id: i32,
        offset: i64,
    },
    Committed {
        group: Text,
        topic: Text,
        queue_id: u32,
    },
    SendBack(SendBackRequest),
    Pop {
        pop: PopRequest,
        hold_ms: i64,
    },
    /// Pops the lite topics that a client subscribes to.
    LitePop {
        pop: PopRequest,
        client_id: String,
        hold_ms: i64,
    },
    /// Says what a client subscribes to.
    Sync(SyncRequest),
    Ack(Handle),
    AckAll(Vec<Handle>),
    Change {
        handle: Handle,
        invisible_ms: i64,
    },
    /// As a change, but the attempt does not count.
    Suspend {
        handle: Handle,
        invisible_ms: i64,
    },
    /// As a change, but the handle stays good.
    Renew {
        handle: Handle,
        invisible_ms: i64,
    },
    /// Gives a message up.
    Bury(Handle),
    End {
        message: MessageId,
        end: EndTransaction<'static>,
    },
    Recall {
        message: MessageId,
        recall: RecallRequest,
    },
    Beat(HeartbeatData),
    Lock {
        group: Text,
        client_id: String,
        queues: Vec<QueueName>,
    },
    Unlock {
        group: Text,
        client_id: String,
        queues: Vec<QueueName>,
    },
    /// Looks a message up by its unique key.
    FindByKey(MessageId),
    /// Reads a message where its send was told that it is.
    ReadAt(MessageId),
    /// Asks what administrators and consoles ask; the number says what.
    Survey(u64),
    Reset(kourou_broker::offset::ResetRequest),
    /// Gives a group the offsets that another has, in one topic or in all.
    CloneOffsets {
        from: &'static str,
        to: String,
        is_all: bool,
    },
    /// Commits an offset, and hears when it is durable.
    CommitDurably {
        group: String,
        queue_id: u32,
        offset: i64,
    },
    DeleteGroup(String),
    /// Makes a transaction pending again that was given up at this position.
    Resume {
        message: MessageId,
        position: u64,
    },
    PutTopic(TopicConfig),
    DeleteTopic(String),
    PutGroup(GroupConfig),
}

impl Request {
    /// Its kind, for tables.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Send(_) => Kind::Send,
            Self::SendBatch { .. } => Kind::Batch,
            Self::Sync(_) => Kind::Lite,
            Self::Bury(_) => Kind::Bury,
            Self::Pull { .. } => Kind::Pull,
            Self::Commit { .. } | Self::Committed { .. } | Self::CommitDurably { .. } => Kind::Offset,
            Self::SendBack(_) => Kind::SendBack,
            Self::Pop { .. } | Self::LitePop { .. } => Kind::Pop,
            Self::Ack(_) | Self::AckAll(_) => Kind::Ack,
            Self::Change { .. } | Self::Suspend { .. } | Self::Renew { .. } => Kind::Change,
            Self::End { .. } | Self::Resume { .. } => Kind::End,
            Self::Recall { .. } => Kind::Recall,
            Self::Beat(_) => Kind::Beat,
            Self::Lock { .. } | Self::Unlock { .. } => Kind::Lock,
            Self::FindByKey(_) | Self::ReadAt(_) | Self::Survey(_) => Kind::Find,
            Self::Reset(_) | Self::CloneOffsets { .. } => Kind::Reset,
            Self::PutTopic(_) | Self::DeleteTopic(_) | Self::PutGroup(_) | Self::DeleteGroup(_) => {
                Kind::Admin
            }
        }
    }
}

/// Kinds of requests, for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Send,
    Pull,
    Offset,
    SendBack,
    Pop,
    Ack,
    Change,
    End,
    Recall,
    Beat,
    Lock,
    Find,
    Reset,
    Admin,
    Batch,
    Lite,
    Bury,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Send,
        Self::Pull,
        Self::Offset,
        Self::SendBack,
        Self::Pop,
        Self::Ack,
        Self::Change,
        Self::End,
        Self::Recall,
        Self::Beat,
        Self::Lock,
        Self::Find,
        Self::Reset,
        Self::Admin,
        Self::Batch,
        Self::Lite,
        Self::Bury,
    ];
}

/// What is wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchHarm {
    /// Its end is missing.
    Cut,
    /// There is nothing in it.
    Empty,
    /// It is to be delivered later.
    Delayed,
    /// It is flagged as half of a transaction.
    Half,
}

/// What a client hears.
#[derive(Debug, Clone)]
pub enum Reply {
    Sent(SendReceipt),
    Pulled {
        records: Vec<Bytes>,
        place: PullPlace,
    },
    /// No records; the protocol's number says why.
    Nothing {
        code: i32,
        place: PullPlace,
    },
    Popped(Popped),
    Acked(AckOutcome),
    AckedAll(usize),
    Changed(Changed),
    Committed(Option<i64>),
    Locked(Vec<bool>),
    Found(Vec<Bytes>),
    Reset(Vec<(u32, u64)>),
    /// Whether a transaction is pending again, or was made so before.
    Resumed {
        is_now: bool,
    },
    Done,
    Refused {
        code: i32,
        text: String,
    },
    /// Nothing was heard in time. Whatever was asked for may have been done, or be done later.
    Lost,
}

/// What the broker tells a client without being asked.
#[derive(Debug, Clone)]
pub enum Told {
    /// What became of this transaction?
    Check {
        /// The message.
        message: MessageId,
        /// The producer group.
        group: String,
        /// Where the half message is.
        position: u64,
        /// Its queue offset.
        queue_offset: u64,
    },
    /// It does not subscribe to this lite topic any more: somebody else of its group does.
    LostLite {
        /// The lite topic.
        lite_topic: String,
    },
}
