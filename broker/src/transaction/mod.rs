//! Transactions: messages that become visible when their producer says so, or never.
//!
//! ```text
//!             half record (prepared; in no queue) --apply--> pending
//!                                                              |
//!     +-------------------+----------------------+-------------+-----------+
//!     | commit            | rollback             | asked for   | asked for it as often as may be
//!     v                   v                      v             v
//!  the message, in its    state record        state record   the message, in the topic for those
//!  queue or as a timer    (kind 7)            (kind 8)       that nobody decided
//!     |                   |                      |             |
//!     +---- applied, each ends it -----+         counts it     +---- applied, ends it
//! ```
//!
//! A half message is pending from the apply of its record until the apply of the one record that ends it. While that record is
//! on its way the transaction is marked, in memory, so there is never a second one: what is decided is decided once, by one
//! durable append, whatever comes twice, late or at the same time. A crash leaves it pending or ended. The record of a commit
//! names the half record in `prepared_transaction_offset` and has the commit bits; a timer's delivery has none.
//!
//! Before the segment of its record expires, a half message is appended once more, as it is, and names itself. It stays the transaction that it
//! was, at the position that its producer knows; one that has been pending for longer than messages are kept is given up.
//!
//! One that was given up can be resumed, once: by a half record that names the message among those that nobody decided.

mod carry;
mod check;
mod decide;
mod resume;
mod table;

use kourou_engine::AppendError;
use kourou_engine::ReadError;
use kourou_engine::record::{EncodeError, RecordError};
use thiserror::Error;

pub use check::TransactionCheck;
pub use decide::EndTransaction;
pub(crate) use resume::ResumedTable;
pub use resume::{ResumeError, Resumed};
pub(crate) use table::{Half, TransactionTable};

use crate::code;

/// What a producer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The message becomes visible.
    Commit,
    /// It never does.
    Rollback,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its producer committed it.
    Committed,
    /// Its producer rolled it back.
    RolledBack,
    /// Nobody decided it: its message is where those are kept.
    GivenUp,
}

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Commit => Self::Committed,
            Decision::Rollback => Self::RolledBack,
        }
    }
}

/// Why a decision was refused. The transaction is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// There is no such transaction, or it ended so long ago that how is not remembered.
    #[error(
        "no transaction is pending at position {position}: it was decided long ago, or there never was one"
    )]
    NotPending {
        /// The position that was named.
        position: i64,
    },
    /// It ended otherwise.
    #[error("the transaction at position {position} has ended already: {outcome:?}")]
    Ended {
        /// Its position.
        position: i64,
        /// How.
        outcome: Outcome,
    },
    /// Another decision is being stored.
    #[error("a decision on the transaction at position {position} is being stored; ask again")]
    InFlight {
        /// Its position.
        position: i64,
    },
    /// The time that its producer had given itself is over: from then on it is asked.
    #[error(
        "the transaction at position {position} was to be decided within {immunity_ms} ms; its producer will be asked"
    )]
    TooLate {
        /// Its position.
        position: i64,
        /// The time it had.
        immunity_ms: i64,
    },
    /// It belongs to another producer group.
    #[error("The producer group wrong: the transaction at position {position} belongs to {group}")]
    WrongGroup {
        /// Its position.
        position: i64,
        /// Its group.
        group: String,
    },
    /// The offset is not that of the half message.
    #[error("The transaction state table offset wrong: {found} for the transaction at position {position}")]
    WrongOffset {
        /// Its position.
        position: i64,
        /// The offset that was named.
        found: i64,
    },
    /// It is to be delivered later, and as many messages wait for their time as may.
    #[error("timer message is under flow control, max num limit is {max_timers}")]
    TooManyTimers {
        /// The limit.
        max_timers: usize,
    },
    /// The half message cannot be read.
    #[error("the half message at position {position} cannot be used: {source}")]
    Half {
        /// Its position.
        position: u64,
        /// Why.
        source: HalfError,
    },
    /// The log did not take the decision.
    #[error("{}", crate::send::append_remark(.0))]
    Store(AppendError),
}

impl TransactionError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::TooLate { .. } => code::ILLEGAL_OPERATION,
            Self::InFlight { .. } => code::SYSTEM_BUSY,
            Self::Store(source) => crate::send::append_code(source),
            _ => code::SYSTEM_ERROR,
        }
    }
}

/// Why nothing can be made of a half message.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HalfError {
    /// It does not say where it goes.
    #[error("it has no topic or no queue to go to")]
    NoPlace,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was read is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It cannot be stored again.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
