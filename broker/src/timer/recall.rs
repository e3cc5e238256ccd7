//! Recalling: a message that waits for its time is taken back, for good.
//!
//! ```text
//!  handle (due time, unique key) --> timers due then whose key's hash is the same --> their records, to be sure
//!      --> taken out of those that wait, in memory --> one state record (kind 9) --> applied: gone
//! ```
//!
//! A timer that was taken out is not delivered meanwhile, and one that is being delivered is not taken out; so there is never
//! more than one record on its way that ends it, and what a crash leaves is a timer that waits or one that has ended.

use std::sync::Arc;

use kourou_engine::planted::{self, Bug};
use kourou_engine::record::RecordView;
use kourou_engine::{AppendError, ReadError};
use thiserror::Error;

use super::handle::RecallHandle;
use super::sorted::Timer;
use crate::broker::Broker;
use crate::code;
use crate::name::TIMER_TOPIC;
use crate::property::{REAL_TOPIC, UNIQ_KEY};
use crate::state::Change;
use crate::topic::perm;

/// A recall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallRequest {
    /// The topic of the message.
    pub topic: String,
    /// What the answer to its send gave out, see [`SendReceipt::recall_handle`](crate::send::SendReceipt::recall_handle).
    pub handle: String,
}

/// Why a message was not recalled. It is delivered in its time, or has been.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecallError {
    /// Recalls are not served.
    #[error("recall failed, operation is forbidden: recall-messages is off")]
    Forbidden,
    /// The broker takes no changes.
    #[error("recall failed, broker service not available")]
    BrokerNotWritable,
    /// There is no such topic.
    #[error("recall failed, the topic[{topic}] not exist")]
    TopicNotExist {
        /// The topic.
        topic: String,
    },
    /// The handle is none.
    #[error("recall handle is invalid")]
    BadHandle,
    /// The handle is for a message of another topic.
    #[error("recall failed, topic not match: the handle is for {found}")]
    OtherTopic {
        /// The handle's topic.
        found: String,
    },
    /// The handle is for a message on another broker.
    #[error("recall failed, broker service not available: the handle is for {found}")]
    OtherBroker {
        /// The handle's broker.
        found: String,
    },
    /// Its time has come.
    #[error("recall failed, timestamp invalid: the message was due {ago_ms} ms ago")]
    Due {
        /// For how long it has been due.
        ago_ms: i64,
    },
    /// No such message waits.
    #[error("recall failed, no such message waits: it has been recalled or delivered, or was never sent")]
    NotWaiting,
    /// It is on its way to its queue, or another recall is.
    #[error("recall failed, the message is being delivered or recalled at this moment")]
    InFlight,
    /// A record of a message that is due then could not be read.
    #[error("recall failed, the message at position {position} cannot be read: {source}")]
    Read {
        /// Where it is.
        position: u64,
        /// Why.
        source: ReadError,
    },
    /// The log did not take the recall.
    #[error("recall failed, execute error. {}", crate::send::append_remark(.0))]
    Store(AppendError),
}

impl RecallError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::Forbidden => code::NO_PERMISSION,
            Self::BrokerNotWritable => code::SERVICE_NOT_AVAILABLE,
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::BadHandle
            | Self::OtherTopic { .. }
            | Self::OtherBroker { .. }
            | Self::Due { .. }
            | Self::NotWaiting
            | Self::InFlight => code::ILLEGAL_OPERATION,
            Self::Read { .. } => code::SYSTEM_ERROR,
            Self::Store(source) => crate::send::append_code(source),
        }
    }
}

impl Broker {
    /// Takes back a message that waits for its time. When `done` hears of success that is durable: the message is never
    /// delivered. It is told the message's unique key. After any error the message is delivered as if nothing had been asked.
    ///
    /// May block on the disk if [`Broker::recall_may_block`] says so.
    pub fn recall(
        self: &Arc<Self>,
        request: &RecallRequest,
        done: impl FnOnce(Result<String, RecallError>) + Send + 'static,
    ) {
        let begun = self.check_recall(request).and_then(|handle| {
            let timers = self.begin_recall(&handle)?;
            Ok((handle, timers))
        });
        let (handle, timers) = match begun {
            Ok(begun) => begun,
            Err(error) => return done(Err(error)),
        };
        let positions: Vec<u64> = timers.iter().map(|timer| timer.position).collect();
        if planted::is(Bug::IgnoresRecalls) {
            self.state.timers.put_back(positions);
            return done(Ok(handle.uniq_key));
        }
        let broker = self.clone();
        let change = Change::Recalled {
            positions: &positions.clone(),
        };
        self.append_change(&change, move |stored| {
            if stored.is_err() {
                broker.state.timers.put_back(positions);
                // Meanwhile nobody waited for it.
                if let Some(listener) = broker.state.listener.get() {
                    listener.timer_due(handle.due_ms);
                }
            }
            done(stored.map(|()| handle.uniq_key).map_err(RecallError::Store));
        });
    }

    /// Whether [`Broker::recall`] has to read what is no longer in memory.
    pub fn recall_may_block(&self, request: &RecallRequest) -> bool {
        RecallHandle::decode(&request.handle).is_some_and(|handle| {
            let found = self.state.timers.find(handle.due_ms, handle.key_hash());
            let mut all = found.waiting.iter().chain(&found.in_flight);
            all.any(|timer| !self.engine.is_hot(timer.position))
        })
    }

    fn check_recall(&self, request: &RecallRequest) -> Result<RecallHandle, RecallError> {
        if !self.options.recall {
            return Err(RecallError::Forbidden);
        }
        if !perm::is_writable(self.options.perm) {
            return Err(RecallError::BrokerNotWritable);
        }
        if !self.state.topics.contains(&request.topic) {
            return Err(RecallError::TopicNotExist {
                topic: request.topic.clone(),
            });
        }
        let handle = RecallHandle::decode(&request.handle).ok_or(RecallError::BadHandle)?;
        if handle.topic != request.topic {
            return Err(RecallError::OtherTopic { found: handle.topic });
        }
        if handle.broker_name != self.options.broker_name {
            return Err(RecallError::OtherBroker {
                found: handle.broker_name,
            });
        }
        let now_ms = self.clock.now_ms();
        if handle.due_ms <= now_ms {
            return Err(RecallError::Due {
                ago_ms: now_ms.saturating_sub(handle.due_ms),
            });
        }
        Ok(handle)
    }

    /// Finds the message and takes it out of those that wait. A message that its producer sent twice is there twice.
    fn begin_recall(&self, handle: &RecallHandle) -> Result<Vec<Timer>, RecallError> {
        let found = self.state.timers.find(handle.due_ms, handle.key_hash());
        let meant = |timers: Vec<Timer>| -> Result<Vec<Timer>, RecallError> {
            let mut meant = Vec::new();
            for timer in timers {
                if self.is_meant(&timer, handle)? {
                    meant.push(timer);
                }
            }
            Ok(meant)
        };
        if !meant(found.in_flight)?.is_empty() {
            return Err(RecallError::InFlight);
        }
        let timers = meant(found.waiting)?;
        if timers.is_empty() {
            return Err(RecallError::NotWaiting);
        }
        if !self.state.timers.take(&timers) {
            return Err(RecallError::InFlight);
        }
        Ok(timers)
    }

    fn is_meant(&self, timer: &Timer, handle: &RecallHandle) -> Result<bool, RecallError> {
        let position = timer.position;
        let bytes = self
            .engine
            .read(position, timer.size_bytes)
            .map_err(|source| RecallError::Read { position, source })?;
        // What was read is checked, or is what was written.
        Ok(RecordView::parse(&bytes).is_ok_and(|record| {
            record.topic() == TIMER_TOPIC
                && record.property(REAL_TOPIC) == Some(&handle.topic)
                && record.property(UNIQ_KEY) == Some(&handle.uniq_key)
        }))
    }
}

/// What a message's topic and unique key come to: FNV-1a. Never 0, which is for timers that nobody can recall.
pub(crate) fn key_hash(topic: &str, uniq_key: &str) -> u32 {
    let bytes = topic.bytes().chain([0]).chain(uniq_key.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}
