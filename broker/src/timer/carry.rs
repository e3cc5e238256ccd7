//! Timers whose records are about to expire wait on in new records.
//!
//! A timer's record is appended once more, in the timer topic, and names the one that it is in the place of. Applied, it ends that timer
//! and is one itself, due at the same moment; so a crash leaves exactly one. While it is on its way the old one is neither
//! delivered nor recalled.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::record::{EncodedRecords, RecordView};

use super::delay::push_due;
use super::deliver::Undeliverable;
use super::sorted::Timer;
use crate::again::AGAIN_LIMITS;
use crate::broker::Broker;
use crate::name::TIMER_TOPIC;
use crate::retention::Carry;
use crate::state::Change;

/// Timers that are appended together.
const TOGETHER_MAX: usize = 64;
const TOGETHER_SIZE_BYTES_MAX: u64 = 64 << 10;

impl Broker {
    /// Begins to append anew the timers whose records lie before a position. Where the first of them lies, as long as there is one.
    pub(crate) fn carry_timers(self: &Arc<Self>, carry: &mut Carry) -> Option<u64> {
        let (timers, first) = self
            .state
            .timers
            .lying_before(carry.going.below, carry.left_messages());
        if !carry.may_use_reserve(timers.iter().map(|timer| timer.size_bytes)) {
            return first;
        }
        for some in timers.chunks(TOGETHER_MAX) {
            if carry.is_spent() {
                break;
            }
            let taken = self.state.timers.take_each(some);
            self.carry_taken(&taken, carry);
        }
        first
    }

    fn carry_taken(self: &Arc<Self>, taken: &[Timer], carry: &mut Carry) {
        let mut records = EncodedRecords::default();
        let mut positions = Vec::new();
        for (timer, read) in taken.iter().zip(self.read_timers(taken)) {
            let position = timer.position;
            let put = read
                .map_err(Undeliverable::Read)
                .and_then(|bytes| self.put_carried(&mut records, &bytes, timer.due_ms));
            match put {
                Ok(()) => positions.push(position),
                Err(why) if carry.is_patient => {
                    // That has been told.
                    tracing::debug!(position, due_ms = timer.due_ms, %why, "a delayed message cannot be appended anew; its segment waits");
                    self.state.timers.park(position);
                }
                Err(why) => {
                    tracing::error!(position, due_ms = timer.due_ms, %why, "a delayed message cannot be read and goes with its segment");
                    carry.spend(1, 0);
                    self.end_lost_timer(position);
                }
            }
            if records.size_bytes() >= TOGETHER_SIZE_BYTES_MAX {
                self.append_carried(
                    std::mem::take(&mut records),
                    std::mem::take(&mut positions),
                    carry,
                );
            }
        }
        self.append_carried(records, positions, carry);
    }

    fn append_carried(self: &Arc<Self>, records: EncodedRecords, positions: Vec<u64>, carry: &mut Carry) {
        if positions.is_empty() {
            return;
        }
        carry.spend(positions.len(), records.size_bytes());
        let broker = self.clone();
        self.append_in_place(carry, records, move |appended| {
            if let Err(error) = appended {
                tracing::debug!(timers = positions.len(), %error, "timers that are to outlast their segment could not be appended");
                broker.state.timers.put_back(positions);
            }
        });
    }

    fn put_carried(
        &self,
        records: &mut EncodedRecords,
        bytes: &Bytes,
        due_ms: i64,
    ) -> Result<(), Undeliverable> {
        let delayed = RecordView::parse(bytes)?;
        let mut properties = Cow::Borrowed(delayed.properties());
        if delayed.topic() != TIMER_TOPIC {
            // A delay counts from when its record was stored. Of a message that has waited for a time before, the last one counts.
            push_due(properties.to_mut(), due_ms);
        }
        let record = self.stored_again(&delayed, TIMER_TOPIC, 0, &properties);
        let Err(error) = records.push(&record, &AGAIN_LIMITS) else {
            return Ok(());
        };
        if delayed.topic() == TIMER_TOPIC {
            return Err(error.into());
        }
        // No room to say when it is due: its delay begins anew, which is later, but at the most by the longest delay.
        let topic = delayed.topic();
        let record = self.stored_again(&delayed, topic, delayed.queue_id(), delayed.properties());
        Ok(records.push(&record, &AGAIN_LIMITS)?)
    }

    /// Forgets a timer whose record cannot be read.
    fn end_lost_timer(self: &Arc<Self>, position: u64) {
        let broker = self.clone();
        let change = Change::Recalled {
            positions: &[position],
        };
        self.append_change(&change, move |stored| {
            if stored.is_err() {
                broker.state.timers.park(position);
            }
        });
    }
}
