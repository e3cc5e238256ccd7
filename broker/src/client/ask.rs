//! What clients are asked on their own connections, and what comes of it.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuestionKind {
    /// What a consumer is doing.
    RunningInfo,
    /// To consume one message now and tell how it went.
    ConsumeDirectly,
    /// How far a consumer is with each queue of a topic.
    ConsumerStatus,
    /// To take the reply to a message that the client has sent.
    Reply,
}

/// A question, with what an administrator or another client wants to be passed on.
#[derive(Debug, Clone)]
pub struct Question {
    /// What it is about.
    pub kind: QuestionKind,
    /// Named values, as the remoting protocol names them.
    pub fields: Vec<(String, String)>,
    /// What goes with them, e.g. a message as stored.
    pub body: Bytes,
    /// How long to wait for the answer.
    pub patience: Duration,
}

/// A client's answer, passed on as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The protocol's number for how it went.
    pub code: i32,
    /// A text for people.
    pub remark: Option<String>,
    /// Named values.
    pub fields: Vec<(String, String)>,
    /// What goes with them.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// The client took too long. It may still do what it was asked.
    #[error("the client has not answered within {} ms", .patience.as_millis())]
    Timeout {
        /// How long it was waited for.
        patience: Duration,
    },
    /// The connection is gone.
    #[error("the connection of the client has ended")]
    Gone,
    /// The client has too many questions open, or takes what it is sent too slowly.
    #[error("the client is slow: {open} questions wait for its answer")]
    Busy {
        /// How many it has open.
        open: usize,
    },
    /// The client's protocol has no such question.
    #[error("the client cannot be asked that")]
    NotSupported,
}

/// Hears the answer, exactly once, on any thread. Must not block.
pub type AnswerDone = Box<dyn FnOnce(Result<Answer, AskError>) + Send>;

/// An administrator has set a group's offsets in a topic, and its members shall go there.
#[derive(Debug, Clone, Copy)]
pub struct OffsetsReset<'a> {
    /// The group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The broker's name, which is part of a queue's.
    pub broker_name: &'a str,
    /// The time that was asked for.
    pub timestamp_ms: i64,
    /// By queue.
    pub offsets: &'a [(u32, u64)],
    /// Whether they are written as a list, for clients whose JSON knows no objects as keys.
    pub as_list: bool,
}
