//! Transactions whose half records are about to expire stay pending in new records.
//!
//! The half record is appended once more, as it is, and names the position that the transaction goes by. Applied, it is where the message
//! lies from then on, and nothing else changes: producers go on naming the position that they were told. While it is on its way the
//! transaction is marked as if it were being decided.

use std::sync::Arc;

use kourou_engine::record::{EncodedRecord, RecordView, SYS_FLAG_TRANSACTION_PREPARED};

use super::HalfError;
use super::table::{Due, Lying};
use crate::broker::Broker;
use crate::name::HALF_TOPIC;
use crate::retention::Carry;
use crate::state::Change;

impl Broker {
    /// Begins to append anew the half messages whose records lie before a position. Where the first of them lies, as long as there is
    /// one.
    pub(crate) fn carry_halves(self: &Arc<Self>, carry: &mut Carry) -> Option<u64> {
        let (lying, first) = self
            .state
            .transactions
            .lying_before(carry.going.below, carry.left_messages());
        if !carry.may_use_reserve(lying.iter().map(|one| one.due.half.size_bytes)) {
            return first;
        }
        for Lying { stored_ms, due } in &lying {
            if carry.is_spent() {
                break;
            }
            let position = due.position;
            let begun = if carry.is_kept_no_longer(*stored_ms) {
                // As upstream: nobody has decided it for as long as messages are kept.
                self.give_up(due)
            } else {
                self.carry_half(due, carry)
            };
            match begun {
                Ok(()) => carry.spend(1, due.half.size_bytes.into()),
                Err(error) if carry.is_patient => {
                    tracing::warn!(position, %error, "a half message cannot be read; its segment waits");
                }
                Err(error) => {
                    tracing::error!(position, group = %due.group, %error, "a half message cannot be read and goes with its segment");
                    carry.spend(1, 0);
                    self.end_lost_half(position);
                }
            }
        }
        first
    }

    fn carry_half(self: &Arc<Self>, due: &Due, carry: &Carry) -> Result<(), HalfError> {
        let position = due.position;
        let transactions = &self.state.transactions;
        if !transactions.begin_giving_up(position) {
            return Ok(());
        }
        let record = self
            .carried(due)
            .inspect_err(|_| transactions.give_back(position))?;
        let broker = self.clone();
        self.append_in_place(carry, record.into(), move |appended| {
            if let Err(error) = appended {
                tracing::debug!(position, %error, "a half message that is to outlast its segment could not be appended");
                broker.state.transactions.give_back(position);
            }
        });
        Ok(())
    }

    fn carried(&self, due: &Due) -> Result<EncodedRecord, HalfError> {
        let bytes = self.engine.read(due.half.position, due.half.size_bytes)?;
        let half = RecordView::parse(&bytes)?;
        let flag = SYS_FLAG_TRANSACTION_PREPARED;
        self.record_of(
            &half,
            due.position,
            HALF_TOPIC,
            half.queue_id(),
            flag,
            half.properties(),
        )
    }

    /// Ends a transaction whose half record cannot be read, as if it had been rolled back: nothing could be committed.
    fn end_lost_half(self: &Arc<Self>, position: u64) {
        if !self.state.transactions.begin_giving_up(position) {
            return;
        }
        let broker = self.clone();
        self.append_change(&Change::RolledBack { position }, move |stored| {
            if stored.is_err() {
                broker.state.transactions.give_back(position);
            }
        });
    }
}
