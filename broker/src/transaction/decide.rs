//! What producers decide, made durable.

use std::borrow::Cow;
use std::sync::Arc;

use kourou_engine::record::{EncodedRecord, RecordView, SYS_FLAG_TRANSACTION_COMMIT, state};

use super::table::{Begun, Place};
use super::{Decision, HalfError, TransactionError};
use crate::again::AGAIN_LIMITS;
use crate::broker::Broker;
use crate::property::{Properties, REAL_QID, REAL_TOPIC};
use crate::state::Change;
use crate::timer::{Delay, push_due};
use crate::trace::Decided;

/// A producer's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndTransaction<'a> {
    /// The producer's group.
    pub group: Cow<'a, str>,
    /// Position of the half message.
    pub position: i64,
    /// Its queue offset, as its sender was told.
    pub queue_offset: i64,
    /// What is decided.
    pub decision: Decision,
    /// Whether the producer was asked for it.
    pub from_check: bool,
}

impl EndTransaction<'_> {
    /// The same, to be kept.
    pub fn into_owned(self) -> EndTransaction<'static> {
        EndTransaction {
            group: Cow::Owned(self.group.into_owned()),
            ..self
        }
    }
}

impl Broker {
    /// Ends a transaction. When `done` hears of success the decision is durable, and a committed message can be consumed or
    /// waits for its time. The same decision once more succeeds and changes nothing, as long as it is remembered.
    ///
    /// May block on the disk if [`Broker::end_may_block`] says so.
    pub fn end_transaction(
        self: &Arc<Self>,
        end: &EndTransaction<'_>,
        done: impl FnOnce(Result<(), TransactionError>) + Send + 'static,
    ) {
        let begun = u64::try_from(end.position)
            .map_err(|_| TransactionError::NotPending {
                position: end.position,
            })
            .and_then(|position| {
                let begun = self
                    .state
                    .transactions
                    .begin(position, end, self.clock.now_ms())?;
                Ok((position, begun))
            });
        let (position, half) = match begun {
            Ok((position, Begun::Ours(half))) => (position, half),
            Ok((_, Begun::Before)) => return done(Ok(())),
            Err(error) => return done(Err(error)),
        };
        let record = match end.decision {
            Decision::Rollback => {
                let (kind, payload) = Change::RolledBack { position }.encode();
                Ok(state(kind, &payload, self.clock.now_ms()))
            }
            Decision::Commit => self.committed(position, half),
        };
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                self.state.transactions.give_back(position);
                return done(Err(error));
            }
        };
        let broker = self.clone();
        let decided = self.traces.is_some().then(|| end.clone().into_owned());
        self.engine.append(record, move |appended| {
            if appended.is_err() {
                broker.state.transactions.give_back(position);
            } else if let Some(end) = decided {
                broker.trace_decided(|at_ms| Decided {
                    at_ms,
                    group: end.group.as_ref().into(),
                    position: half.position,
                    size_bytes: half.size_bytes,
                    committed: end.decision == Decision::Commit,
                    from_check: end.from_check,
                });
            }
            done(appended.map(|_| ()).map_err(TransactionError::Store));
        });
    }

    /// Whether [`Broker::end_transaction`] has to read what is no longer in memory.
    pub fn end_may_block(&self, end: &EndTransaction<'_>) -> bool {
        end.decision == Decision::Commit
            && u64::try_from(end.position).is_ok_and(|position| {
                let place = self.state.transactions.place(position);
                !self.engine.is_hot(place.unwrap_or(position))
            })
    }

    /// Transactions that have not ended.
    pub fn transactions_pending(&self) -> usize {
        self.state.transactions.pending()
    }

    /// Whether one more transaction may be pending; the limit if not.
    pub(crate) fn check_room_for_transaction(&self) -> Result<(), usize> {
        let max_transactions = self.options.limits.transactions_max;
        if self.state.transactions.pending() < max_transactions {
            Ok(())
        } else {
            Err(max_transactions)
        }
    }

    /// The record that commits the half message at `position`: the same message, in its real place or, with a delay, where
    /// delayed messages wait. Its properties stay as they are; clients look for those that made it a half.
    fn committed(&self, position: u64, half: Place) -> Result<EncodedRecord, TransactionError> {
        let unusable = |source| TransactionError::Half { position, source };
        let bytes = self
            .engine
            .read(half.position, half.size_bytes)
            .map_err(|error| unusable(error.into()))?;
        let half = RecordView::parse(&bytes).map_err(|error| unusable(error.into()))?;
        let place = place(&half).map_err(unusable)?;
        // Its send has been checked; what could not be read then, or is over by now, is no delay.
        let delay =
            Delay::of(&Properties::read(half.properties()), self.clock.now_ms()).unwrap_or(Delay::None);
        let mut properties = Cow::Borrowed(half.properties());
        let (topic, queue_id) = if delay == Delay::None {
            place
        } else {
            self.check_room_for_timer()
                .map_err(|max_timers| TransactionError::TooManyTimers { max_timers })?;
            if let Delay::Until(due_ms) = delay {
                push_due(properties.to_mut(), due_ms);
            }
            delay.place()
        };
        let flag = SYS_FLAG_TRANSACTION_COMMIT;
        self.record_of(&half, position, topic, queue_id, flag, &properties)
            .map_err(unusable)
    }

    /// The message of `half` as another record, which names the transaction at `position`.
    pub(super) fn record_of(
        &self,
        half: &RecordView<'_>,
        position: u64,
        topic: &str,
        queue_id: u32,
        transaction_flag: i32,
        properties: &[u8],
    ) -> Result<EncodedRecord, HalfError> {
        let mut record = self.stored_again(half, topic, queue_id, properties);
        // The half record itself may be another by now.
        record.prepared_transaction_offset = i64::try_from(position).unwrap_or(0);
        record.sys_flag |= transaction_flag;
        Ok(record.encode_within(&AGAIN_LIMITS)?)
    }
}

/// Where a half message goes when it is committed.
pub(super) fn place<'a>(half: &RecordView<'a>) -> Result<(&'a str, u32), HalfError> {
    let topic = half.property(REAL_TOPIC).ok_or(HalfError::NoPlace)?;
    let queue_id = half
        .property(REAL_QID)
        .and_then(|id| id.parse().ok())
        .ok_or(HalfError::NoPlace)?;
    Ok((topic, queue_id))
}
