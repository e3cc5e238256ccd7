//! Delivering timers that are due.

use std::sync::Arc;

use kourou_engine::ReadError;
use kourou_engine::record::{EncodedRecord, RecordDraft, RecordView, SYS_FLAG_TRANSACTION_MASK};

use crate::broker::Broker;
use crate::property::{REAL_QID, REAL_TOPIC};

impl Broker {
    /// Starts delivering the timers that are due. Returns when it should be called next; `None` if no timer waits. A timer
    /// that is added later and is due earlier is told to [`crate::topic::Listener::timer_due`].
    ///
    /// May block on the disk, for records that are no longer in memory; must not run on the engine's writer thread.
    pub fn deliver_due(self: &Arc<Self>) -> Option<i64> {
        let _one_at_a_time = self.deliveries.lock();
        let now_ms = self.clock.now_ms();
        let timers = &self.state.timers;
        for (due_ms, position) in timers.take_due(now_ms, self.options.limits.timers_in_flight_max) {
            match self.delivery_of(position) {
                Ok(record) => self.append_delivery(record, position),
                Err(why) => {
                    tracing::error!(position, due_ms, %why, "a delayed message cannot be delivered; it stays in the log");
                    timers.park(position);
                }
            }
        }
        // With as many in flight as may be, the next one is overdue: ask again soon.
        timers.next_due_ms().map(|next_ms| next_ms.max(now_ms + 1))
    }

    /// Messages that wait for their time.
    pub fn timers_pending(&self) -> usize {
        self.state.timers.pending()
    }

    /// When the next timer is due.
    pub fn next_timer_ms(&self) -> Option<i64> {
        self.state.timers.next_due_ms()
    }

    /// Whether one more message may wait; the limit if not.
    pub(crate) fn check_room_for_timer(&self) -> Result<(), usize> {
        let max_timers = self.options.limits.timers_max;
        if self.state.timers.pending() < max_timers {
            Ok(())
        } else {
            Err(max_timers)
        }
    }

    fn append_delivery(self: &Arc<Self>, record: EncodedRecord, position: u64) {
        let broker = self.clone();
        self.engine.append(record, move |appended| {
            if let Err(error) = appended {
                let retry_ms = broker
                    .clock
                    .now_ms()
                    .saturating_add(broker.options.limits.timer_retry_ms);
                tracing::debug!(position, %error, "a delayed message waits longer");
                broker.state.timers.give_back(position, retry_ms);
            }
        });
    }

    /// The record that delivers the delayed message at `position`: the same message, under its real topic. Its properties stay
    /// as they are, those that delayed it included.
    fn delivery_of(&self, position: u64) -> Result<EncodedRecord, Undeliverable> {
        let bytes = self.engine.read_at(position)?;
        let delayed = RecordView::parse(&bytes)?;
        let topic = delayed.property(REAL_TOPIC).ok_or(Undeliverable::NoTopic)?;
        let queue_id = delayed
            .property(REAL_QID)
            .and_then(|id| id.parse().ok())
            .ok_or(Undeliverable::NoQueue)?;
        let record = RecordDraft {
            topic,
            queue_id,
            flag: delayed.flag(),
            sys_flag: delayed.sys_flag() & !SYS_FLAG_TRANSACTION_MASK,
            born_ms: delayed.born_ms(),
            born_host: delayed.born_host(),
            store_host: self.options.store_host,
            reconsume_times: delayed.reconsume_times(),
            prepared_transaction_offset: i64::try_from(position).map_err(|_| Undeliverable::NoQueue)?,
            body: delayed.body(),
            properties: delayed.properties(),
        };
        // What was stored once is stored again, even if the limit is lower by now.
        let limits = kourou_engine::record::Limits {
            body_size_bytes_max: usize::MAX,
        };
        Ok(record.encode_within(&limits)?)
    }
}

/// Why a delayed message cannot be delivered.
#[derive(Debug, thiserror::Error)]
enum Undeliverable {
    #[error("it has no topic to go to")]
    NoTopic,
    #[error("it has no queue to go to")]
    NoQueue,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Record(#[from] kourou_engine::record::RecordError),
    #[error(transparent)]
    Encode(#[from] kourou_engine::record::EncodeError),
}
