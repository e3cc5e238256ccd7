//! What consumers say of messages that they were given: done, or not yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kourou_engine::planted::{self, Bug};
use kourou_engine::record::state;

use super::order::Spoken;
use super::record;
use super::table::{Delivery, GroupQueueKey};
use super::{DeliveryError, Handle};
use crate::broker::Broker;
use crate::lite::is_lite_queue;
use crate::trace::Outcome;

/// What an acknowledgement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckOutcome {
    /// The message is done with. That is durable: the group does not get it again.
    Acked,
    /// It was not out under this handle: it is acknowledged already, its time had ended and it is delivered again, or it was given
    /// a new handle.
    NotOut,
}

/// A delivery that has a new time, and with that a new handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// When it counts as handed out.
    pub pop_ms: i64,
    /// For how long from then.
    pub invisible_ms: i64,
}

/// Deliveries of one queue that are to be acknowledged.
struct Acks<'a> {
    key: GroupQueueKey<'a>,
    deliveries: Vec<Delivery>,
}

pub(super) fn key(handle: &Handle, queue_id: u32) -> GroupQueueKey<'_> {
    GroupQueueKey {
        group: &handle.group,
        topic: &handle.topic,
        queue_id,
    }
}

impl Handle {
    fn delivery(&self, offset: u64) -> Delivery {
        Delivery {
            offset,
            pop_ms: self.pop_ms,
            due_ms: self.due_ms(),
        }
    }
}

impl Broker {
    /// Acknowledges a message. What `done` hears of is durable.
    pub fn ack(
        self: &Arc<Self>,
        handle: &Handle,
        done: impl FnOnce(Result<AckOutcome, DeliveryError>) + Send + 'static,
    ) {
        let (queue_id, offset) = match self.check_handle(handle, true) {
            Ok(place) => place,
            Err(error) => return done(Err(error)),
        };
        let key = key(handle, queue_id);
        if handle.ordered {
            return self.ack_in_order(handle, key, &[offset], done);
        }
        let delivery = handle.delivery(offset);
        if !self.state.deliveries.mark_ack(key, delivery) {
            return done(Ok(AckOutcome::NotOut));
        }
        let acks = vec![Acks {
            key,
            deliveries: vec![delivery],
        }];
        if planted::is(Bug::LosesAcknowledgements) && offset % 4 == 0 {
            self.state.deliveries.unmark(key, delivery);
            return done(Ok(AckOutcome::Acked));
        }
        self.append_acks(acks, |stored| done(stored.map(|()| AckOutcome::Acked)));
    }

    /// Acknowledges several messages at once, with one record for all that are not in order; `handles` that cannot be
    /// acknowledged are passed over. `done` hears how many were.
    pub fn ack_all(
        self: &Arc<Self>,
        handles: &[Handle],
        done: impl FnOnce(Result<usize, DeliveryError>) + Send + 'static,
    ) {
        let mut acks: Vec<Acks<'_>> = Vec::new();
        let mut count = 0;
        // Of those in order it is known when their records are durable, which they are before the one that follows.
        let mut in_order: Option<Arc<AtomicUsize>> = None;
        for handle in handles {
            let Ok((queue_id, offset)) = self.check_handle(handle, true) else {
                continue;
            };
            let key = key(handle, queue_id);
            if handle.ordered {
                let acked_in_order = Arc::clone(in_order.get_or_insert_default());
                self.ack_in_order(handle, key, &[offset], move |acked| {
                    if matches!(acked, Ok(AckOutcome::Acked)) {
                        acked_in_order.fetch_add(1, Ordering::Relaxed);
                    }
                });
                continue;
            }
            let delivery = handle.delivery(offset);
            if !self.state.deliveries.mark_ack(key, delivery) {
                continue;
            }
            count += 1;
            match acks.iter_mut().find(|acks| acks.key == key) {
                Some(acks) => acks.deliveries.push(delivery),
                None => acks.push(Acks {
                    key,
                    deliveries: vec![delivery],
                }),
            }
        }
        if count == 0 && in_order.is_none() {
            return done(Ok(0));
        }
        // With nothing but messages in order it says nothing, and is durable behind theirs.
        self.append_acks(acks, move |stored| {
            let in_order = in_order.map_or(0, |acked| acked.load(Ordering::Relaxed));
            done(stored.map(|()| count + in_order));
        });
    }

    fn append_acks(
        self: &Arc<Self>,
        acks: Vec<Acks<'_>>,
        done: impl FnOnce(Result<(), DeliveryError>) + Send + 'static,
    ) {
        let payload = record::ended(acks.iter().map(|acks| (acks.key, acks.deliveries.as_slice())));
        let record = state(record::ENDED, &payload, self.clock.now_ms());
        let owned: Vec<_> = acks
            .into_iter()
            .map(|acks| (acks.key.to_owned_name(), acks.deliveries))
            .collect();
        let broker = self.clone();
        self.engine.append(record, move |appended| {
            for (name, deliveries) in &owned {
                if appended.is_ok() {
                    let offsets = deliveries.iter().map(|delivery| delivery.offset);
                    broker.trace_ended(name.key(), offsets, Outcome::Success);
                    continue;
                }
                for delivery in deliveries {
                    broker.state.deliveries.unmark(name.key(), *delivery);
                }
            }
            done(appended.map(|_| ()).map_err(DeliveryError::Store));
        });
    }

    fn ack_in_order(
        self: &Arc<Self>,
        handle: &Handle,
        key: GroupQueueKey<'_>,
        offsets: &[u64],
        done: impl FnOnce(Result<AckOutcome, DeliveryError>) + Send + 'static,
    ) {
        let pop_ms = handle.pop_ms;
        match self.speak_in_order(handle, key, offsets) {
            Ok(true) => {}
            Ok(false) => return done(Ok(AckOutcome::NotOut)),
            Err(error) => return done(Err(error)),
        }
        let payload = record::acked_in_order(key, pop_ms, offsets);
        let record = state(record::ACKED_IN_ORDER, &payload, self.clock.now_ms());
        let (broker, name, offsets) = (self.clone(), key.to_owned_name(), offsets.to_vec());
        self.engine.append(record, move |appended| {
            if appended.is_err() {
                broker.spoken_in_vain(name.key(), pop_ms, &offsets);
            } else {
                broker.trace_ended(name.key(), offsets.iter().copied(), Outcome::Success);
            }
            broker.wake_in_order(name.key());
            done(appended.map(|_| AckOutcome::Acked).map_err(DeliveryError::Store));
        });
    }

    /// Whether these messages are out in order as the speaker says; if so, a record about them is on its way from now on.
    pub(super) fn speak_in_order(
        &self,
        handle: &Handle,
        key: GroupQueueKey<'_>,
        offsets: &[u64],
    ) -> Result<bool, DeliveryError> {
        let committed = self.state.offsets.get(key.group, key.topic, key.queue_id);
        self.state.deliveries.with_block(key, |block| {
            let Some(block) = block else { return Ok(false) };
            for offset in offsets {
                match block.spoken_of(*offset, handle.pop_ms) {
                    Spoken::Out => {}
                    Spoken::Past => return Ok(false),
                    Spoken::Unknown if committed.is_some_and(|at| record::signed(*offset) < at) => {
                        return Ok(false);
                    }
                    Spoken::Unknown => {
                        return Err(DeliveryError::NotGiven {
                            topic: handle.topic.clone(),
                            queue_id: handle.queue_id,
                            offset: handle.offset,
                        });
                    }
                }
            }
            for offset in offsets {
                block.count_in_flight(*offset, handle.pop_ms, 1);
            }
            Ok(true)
        })
    }

    pub(super) fn spoken_in_vain(&self, key: GroupQueueKey<'_>, pop_ms: i64, offsets: &[u64]) {
        self.state.deliveries.with_block(key, |block| {
            if let Some(block) = block {
                for offset in offsets {
                    block.count_in_flight(*offset, pop_ms, -1);
                }
            }
        });
    }

    /// Gives a message that is out a new time, from now on. The handle that it had is good for nothing from here on; a message
    /// out in order keeps its handle. What `done` hears of is durable.
    pub fn change_invisible(
        self: &Arc<Self>,
        handle: &Handle,
        invisible_ms: i64,
        done: impl FnOnce(Result<Changed, DeliveryError>) + Send + 'static,
    ) {
        let (queue_id, offset) = match self.check_new_time(handle, invisible_ms) {
            Ok(place) => place,
            Err(error) => return done(Err(error)),
        };
        let key = key(handle, queue_id);
        let now_ms = self.clock.now_ms();
        if handle.ordered {
            let due_ms = now_ms.saturating_add(invisible_ms);
            return self.change_in_order(handle, key, offset, due_ms, false, done);
        }
        let before = handle.delivery(offset);
        if !self.state.deliveries.mark_change(key, before) {
            return done(Err(not_out(handle)));
        }
        // Later than before, so that no two handles look the same.
        let pop_ms = now_ms.max(before.pop_ms.saturating_add(1));
        let to = Delivery {
            offset,
            pop_ms,
            due_ms: pop_ms.saturating_add(invisible_ms),
        };
        let payload = record::changed(key, before.pop_ms, to);
        let record = state(record::CHANGED, &payload, now_ms);
        let (broker, name) = (self.clone(), key.to_owned_name());
        self.engine.append(record, move |appended| {
            if appended.is_err() {
                broker.state.deliveries.unmark(name.key(), before);
            }
            let changed = Changed { pop_ms, invisible_ms };
            done(appended.map(|_| changed).map_err(DeliveryError::Store));
        });
    }

    /// As [`Broker::change_invisible`], and the attempt does not count: its consumer has not tried it. Out of order, where the message
    /// itself counts, it counts all the same.
    pub fn suspend(
        self: &Arc<Self>,
        handle: &Handle,
        invisible_ms: i64,
        done: impl FnOnce(Result<Changed, DeliveryError>) + Send + 'static,
    ) {
        if !handle.ordered {
            return self.change_invisible(handle, invisible_ms, done);
        }
        match self.check_new_time(handle, invisible_ms) {
            Ok((queue_id, offset)) => {
                let due_ms = self.clock.now_ms().saturating_add(invisible_ms);
                self.change_in_order(handle, key(handle, queue_id), offset, due_ms, true, done);
            }
            Err(error) => done(Err(error)),
        }
    }

    /// Gives a message that is out a new time, from now on, under the handle that it has: it may be acknowledged by that meanwhile,
    /// and until it is delivered again. What `done` hears of is durable.
    pub fn renew(
        self: &Arc<Self>,
        handle: &Handle,
        invisible_ms: i64,
        done: impl FnOnce(Result<(), DeliveryError>) + Send + 'static,
    ) {
        if handle.ordered {
            // In order a handle is kept in any case.
            return self.change_invisible(handle, invisible_ms, |changed| done(changed.map(|_| ())));
        }
        let (queue_id, offset) = match self.check_new_time(handle, invisible_ms) {
            Ok(place) => place,
            Err(error) => return done(Err(error)),
        };
        let key = key(handle, queue_id);
        let before = handle.delivery(offset);
        if !self.state.deliveries.mark_renewal(key, before) {
            return done(Err(not_out(handle)));
        }
        let now_ms = self.clock.now_ms();
        let to = Delivery {
            due_ms: now_ms.saturating_add(invisible_ms),
            ..before
        };
        let payload = record::changed(key, before.pop_ms, to);
        let record = state(record::CHANGED, &payload, now_ms);
        let (broker, name) = (self.clone(), key.to_owned_name());
        self.engine.append(record, move |appended| {
            if appended.is_err() {
                broker.state.deliveries.unmark_renewal(name.key(), before);
            }
            done(appended.map(|_| ()).map_err(DeliveryError::Store));
        });
    }

    fn change_in_order(
        self: &Arc<Self>,
        handle: &Handle,
        key: GroupQueueKey<'_>,
        offset: u64,
        due_ms: i64,
        is_suspended: bool,
        done: impl FnOnce(Result<Changed, DeliveryError>) + Send + 'static,
    ) {
        let pop_ms = handle.pop_ms;
        match self.speak_in_order(handle, key, &[offset]) {
            Ok(true) => {}
            // Of what was not given there is nothing to change, as of what is not out any more.
            Ok(false) | Err(DeliveryError::NotGiven { .. }) => return done(Err(not_out(handle))),
            Err(error) => return done(Err(error)),
        }
        let payload = record::changed_in_order(key, offset, pop_ms, due_ms, is_suspended);
        let record = state(record::CHANGED_IN_ORDER, &payload, self.clock.now_ms());
        let (broker, name) = (self.clone(), key.to_owned_name());
        self.engine.append(record, move |appended| {
            if appended.is_err() {
                broker.spoken_in_vain(name.key(), pop_ms, &[offset]);
            }
            broker.wake_in_order(name.key());
            let changed = Changed {
                pop_ms,
                invisible_ms: due_ms.saturating_sub(pop_ms),
            };
            done(appended.map(|_| changed).map_err(DeliveryError::Store));
        });
    }

    /// What a handle names, for whom a new time is asked that may be given.
    fn check_new_time(&self, handle: &Handle, invisible_ms: i64) -> Result<(u32, u64), DeliveryError> {
        let max_ms = self.options.limits.invisible_max_ms;
        if !(0..=max_ms).contains(&invisible_ms) {
            return Err(DeliveryError::Invisible { invisible_ms, max_ms });
        }
        self.check_handle(handle, false)
    }

    /// The queue and the offset of a handle, if there are such. An acknowledgement may name the offset behind the last.
    pub(super) fn check_handle(&self, handle: &Handle, is_ack: bool) -> Result<(u32, u64), DeliveryError> {
        let Some(topic) = self.state.topics.get(&handle.topic) else {
            return Err(DeliveryError::TopicNotExist {
                topic: handle.topic.clone(),
            });
        };
        let queue_id = u32::try_from(handle.queue_id)
            .ok()
            .filter(|queue_id| *queue_id < topic.read_queues || is_lite_queue(*queue_id));
        let Some(queue_id) = queue_id else {
            return Err(DeliveryError::QueueNotExist {
                topic: handle.topic.clone(),
                queue_id: handle.queue_id,
                queues: topic.read_queues,
            });
        };
        let (min, max) = (
            self.min_offset(&handle.topic, queue_id),
            self.max_offset(&handle.topic, queue_id),
        );
        let offset = u64::try_from(handle.offset)
            .ok()
            .filter(|offset| (min..max).contains(offset) || is_ack && *offset == max);
        let Some(offset) = offset else {
            return Err(DeliveryError::OffsetOutside {
                topic: handle.topic.clone(),
                queue_id: handle.queue_id,
                offset: handle.offset,
                min,
                max,
            });
        };
        Ok((queue_id, offset))
    }
}

pub(super) fn not_out(handle: &Handle) -> DeliveryError {
    DeliveryError::NotOut {
        topic: handle.topic.clone(),
        queue_id: handle.queue_id,
        offset: handle.offset,
    }
}
