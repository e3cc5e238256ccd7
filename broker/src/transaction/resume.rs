//! Transactions that nobody decided, pending once more because an administrator says so.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use kourou_engine::record::{EncodedRecord, NAME_END, RecordView, SYS_FLAG_TRANSACTION_PREPARED, VALUE_END};
use kourou_engine::{AppendError, ReadError};
use parking_lot::Mutex;
use thiserror::Error;

use super::HalfError;
use super::decide::place;
use crate::broker::Broker;
use crate::name::{CHECK_MAX_TIME_TOPIC, HALF_TOPIC};
use crate::property::TRANSACTION_CHECK_TIMES;
use crate::state::{Fields, Writer};

/// How many resumed messages are remembered. No more can be resumed: one that is forgotten could be resumed twice.
const RESUMED_MAX: usize = 100_000;

/// What came of the wish to resume a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// Its half message is pending again; here is its position.
    Now {
        /// Its position.
        position: u64,
    },
    /// It was resumed before. Nothing has changed.
    Before,
}

/// Why a transaction was not resumed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// There is no such message.
    #[error("no message at position {position} can be resumed: {source}")]
    Read {
        /// The position.
        position: u64,
        /// Why.
        source: ReadError,
    },
    /// The message is none that was given up.
    #[error(
        "the message at position {position} is of topic {topic}: only messages in {CHECK_MAX_TIME_TOPIC} can be resumed, which \
         nobody decided"
    )]
    NotGivenUp {
        /// The position.
        position: u64,
        /// The message's topic.
        topic: String,
    },
    /// The message cannot be used.
    #[error("the message at position {position} cannot be resumed: {source}")]
    Half {
        /// The position.
        position: u64,
        /// Why.
        source: HalfError,
    },
    /// As many transactions are pending as may.
    #[error("{max_transactions} transactions are pending, no more may be; resume it later")]
    TooManyTransactions {
        /// The limit.
        max_transactions: usize,
    },
    /// As many have been resumed as are remembered.
    #[error("{RESUMED_MAX} transactions have been resumed in this store, no more can be")]
    TooManyResumed,
    /// The same message is being resumed.
    #[error("the message at position {position} is being resumed; ask again")]
    InFlight {
        /// The position.
        position: u64,
    },
    /// The log did not take it.
    #[error("{}", crate::send::append_remark(.0))]
    Store(AppendError),
}

impl ResumeError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::InFlight { .. } | Self::TooManyTransactions { .. } => crate::code::SYSTEM_BUSY,
            Self::Store(source) => crate::send::append_code(source),
            _ => crate::code::SYSTEM_ERROR,
        }
    }
}

/// The messages that were resumed, by the position at which they lie given up.
#[derive(Default)]
pub(crate) struct ResumedTable(Mutex<Positions>);

#[derive(Default)]
struct Positions {
    resumed: BTreeSet<u64>,
    in_flight: BTreeSet<u64>,
}

impl fmt::Debug for ResumedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} resumed transactions", self.0.lock().resumed.len())
    }
}

impl ResumedTable {
    /// Marks a message as being resumed; false if it was before.
    fn begin(&self, position: u64) -> Result<bool, ResumeError> {
        let mut positions = self.0.lock();
        if positions.resumed.contains(&position) {
            return Ok(false);
        }
        if positions.resumed.len() + positions.in_flight.len() >= RESUMED_MAX {
            return Err(ResumeError::TooManyResumed);
        }
        if !positions.in_flight.insert(position) {
            return Err(ResumeError::InFlight { position });
        }
        Ok(true)
    }

    /// It is not in the log.
    fn give_back(&self, position: u64) {
        self.0.lock().in_flight.remove(&position);
    }

    /// The record has been applied that is pending in its place.
    pub(crate) fn apply(&self, position: u64) {
        let mut positions = self.0.lock();
        positions.in_flight.remove(&position);
        positions.resumed.insert(position);
    }

    pub(crate) fn encode(&self) -> Writer {
        let positions = self.0.lock();
        let mut out = Writer::new();
        out.count(positions.resumed.len());
        for position in &positions.resumed {
            out.u64(*position);
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let mut resumed = BTreeSet::new();
        for _ in 0..fields.count()? {
            resumed.insert(fields.u64()?);
        }
        *self.0.lock() = Positions {
            resumed,
            in_flight: BTreeSet::new(),
        };
        Some(())
    }
}

impl Broker {
    /// Makes a transaction pending again that nobody decided: its producer is asked as it was from the beginning. `position` is where
    /// its message lies among those. Each is resumed once, by one durable append, which is the new half message and names the old
    /// one; asking once more succeeds and changes nothing.
    ///
    /// May block on the disk; must not run on the engine's writer thread.
    pub fn resume_transaction(
        self: &Arc<Self>,
        position: u64,
        done: impl FnOnce(Result<Resumed, ResumeError>) + Send + 'static,
    ) {
        let record = match self.resumed_half(position) {
            Ok(Some(record)) => record,
            Ok(None) => return done(Ok(Resumed::Before)),
            Err(error) => return done(Err(error)),
        };
        let broker = self.clone();
        self.engine.append(record, move |appended| {
            if appended.is_err() {
                broker.state.resumed.give_back(position);
            }
            let resumed = appended.map(|appended| Resumed::Now {
                position: appended.position,
            });
            done(resumed.map_err(ResumeError::Store));
        });
    }

    /// The half message, marked as on its way; `None` if it was resumed before.
    fn resumed_half(&self, position: u64) -> Result<Option<EncodedRecord>, ResumeError> {
        let bytes = self
            .engine
            .read_at(position)
            .map_err(|source| ResumeError::Read { position, source })?;
        let unusable = |source| ResumeError::Half { position, source };
        let given_up = RecordView::parse(&bytes).map_err(|error| unusable(error.into()))?;
        if given_up.topic() != CHECK_MAX_TIME_TOPIC || given_up.prepared_transaction_offset() <= 0 {
            return Err(ResumeError::NotGivenUp {
                position,
                topic: given_up.topic().to_owned(),
            });
        }
        place(&given_up).map_err(unusable)?;
        self.check_room_for_transaction()
            .map_err(|max_transactions| ResumeError::TooManyTransactions { max_transactions })?;
        let properties = unchecked(given_up.properties());
        let half = self.record_of(
            &given_up,
            position,
            HALF_TOPIC,
            0,
            SYS_FLAG_TRANSACTION_PREPARED,
            &properties,
        );
        let half = half.map_err(unusable)?;
        Ok(self.state.resumed.begin(position)?.then_some(half))
    }
}

/// The properties of a message without how often its producer was asked.
fn unchecked(properties: &[u8]) -> Vec<u8> {
    properties
        .split_inclusive(|byte| *byte == VALUE_END)
        .filter(|entry| {
            let name = entry.split(|byte| *byte == NAME_END).next();
            name != Some(TRANSACTION_CHECK_TIMES.as_bytes())
        })
        .flatten()
        .copied()
        .collect()
}
