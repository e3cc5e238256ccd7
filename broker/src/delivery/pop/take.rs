//! One look at one queue: what it has for the group is taken.

use std::sync::Arc;

use super::admit::Admitted;
use super::candidate::Candidate;
use super::{Reading, TakenPop};
use crate::broker::Broker;
use crate::delivery::order::Standing;
use crate::delivery::record::{self, PoppedFrom};
use crate::delivery::table::{Begun, GroupQueueKey, OutLimits};
use crate::delivery::{PopError, PopRequest, PoppedQueue};
use crate::receive::Room;

/// What a look at one queue came to.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) rest: u64,
    pub(super) again: bool,
    pub(super) is_cold: bool,
    /// As much is out as may be.
    pub(super) is_full: bool,
}

impl Broker {
    /// Takes what one queue has.
    pub(super) fn take_from(
        self: &Arc<Self>,
        taken: &mut TakenPop,
        candidate: &Candidate,
        request: &PopRequest,
        admitted: &Admitted,
        reading: Reading,
    ) -> Result<Look, PopError> {
        let group = &admitted.group.name;
        let key = GroupQueueKey {
            group,
            topic: &candidate.topic,
            queue_id: candidate.queue_id,
        };
        let limits = OutLimits {
            of_queue: self.options.limits.deliveries_per_queue_max,
            of_all: self.options.limits.deliveries_max,
        };
        // A reset has set the group's offset; from here on its pops move it again.
        self.take_reset(group, &candidate.topic, candidate.queue_id);
        let (found, start) = self.pop_place(request, group, candidate);
        let Some(range) = self.queue_range(&candidate.topic, candidate.queue_id) else {
            if found.is_none() {
                self.begin_at(group, candidate, start);
            }
            return Ok(Look::default());
        };
        let start = start.clamp(range.min, range.max);
        let out = match self.state.deliveries.begin(key, taken.id, start, limits) {
            Begun::Ours { out } => out,
            not_ours @ (Begun::Busy | Begun::Full) => {
                return Ok(Look {
                    rest: if request.ordered { 0 } else { range.max - start },
                    is_full: not_ours == Begun::Full,
                    ..Look::default()
                });
            }
        };
        // From here on the queue is marked until `taken` is dropped, or here if there is nothing in it.
        let mut from = PoppedFrom {
            topic: candidate.topic.clone(),
            queue_id: candidate.queue_id,
            found,
            next: start,
            offsets: Vec::new(),
            is_new: true,
        };
        let standing = if request.ordered {
            self.standing(key, request, found, taken.pop_ms)
        } else {
            Standing::Clear
        };
        let room = Room {
            messages_max: admitted.messages_max - taken.count(),
            size_bytes_max: self
                .options
                .limits
                .pull_hot_size_bytes_max
                .saturating_sub(taken.size_bytes()),
        };
        let mut look = Look::default();
        let again = match &standing {
            Standing::Again(messages) => self.of_block(candidate, messages, &room, reading, &mut look),
            Standing::Blocked | Standing::Clear => Ok(Vec::new()),
        };
        let mut is_clear = standing == Standing::Clear;
        let messages = match (again, &standing) {
            (again, Standing::Blocked) | (again @ Err(_), _) => again,
            (Ok(messages), Standing::Again(_)) if look.is_cold || !messages.is_empty() => {
                from.is_new = false;
                Ok(messages)
            }
            // Nothing is out, or all that is has gone from the log.
            _ => {
                is_clear = true;
                self.scan_pop(
                    &mut from, candidate, admitted, request, &out, &room, reading, &mut look,
                )
            }
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(error) => {
                self.state.deliveries.release(key, taken.id);
                // What is taken already is good.
                return if taken.count() > 0 { Ok(look) } else { Err(error) };
            }
        };
        if !request.ordered {
            look.rest = range.max.saturating_sub(from.next);
        }
        if messages.is_empty() {
            if !look.is_cold && is_clear {
                let next = record::signed(from.next);
                match found {
                    None => self.begin_at(group, candidate, from.next),
                    // Nothing in between is wanted.
                    Some(found) if next != found => {
                        let (topic, queue_id) = (&candidate.topic, candidate.queue_id);
                        self.state
                            .offsets
                            .commit_from(group, topic, queue_id, found, next);
                    }
                    Some(_) => {}
                }
                look.again |= from.next > start && from.next < range.max;
            }
            let wanted = self.state.deliveries.release(key, taken.id);
            if wanted {
                self.wake_poppers(&taken.topic, key);
            }
            return Ok(look);
        }
        from.offsets = messages.iter().map(|message| message.offset).collect();
        if request.ordered {
            // In order the group stays at the first message that is out.
            from.next = match (from.is_new, found) {
                (false, Some(found)) => u64::try_from(found).unwrap_or(0),
                _ => from.offsets.first().copied().unwrap_or(start),
            };
            self.state.deliveries.with_block(key, |block| {
                // One that is not handed out again may still be acknowledged.
                if let (false, Some(block)) = (from.is_new, block) {
                    block.is_repopped = true;
                }
            });
        }
        taken.from.push(from);
        taken.queues.push(PoppedQueue {
            topic: candidate.topic.clone(),
            retry: candidate.retry,
            queue_id: candidate.queue_id,
            messages,
        });
        Ok(look)
    }

    fn standing(
        &self,
        key: GroupQueueKey<'_>,
        request: &PopRequest,
        found: Option<i64>,
        now_ms: i64,
    ) -> Standing {
        self.state.deliveries.with_block(key, |block| match block {
            // What is on its way may move the offset, or just has.
            Some(block) if block.is_spoken_of() => Standing::Blocked,
            // Somebody has set the offset since: the block means nothing any more.
            Some(block) if found == Some(record::signed(block.committed)) => {
                block.standing(&request.attempt_id, now_ms)
            }
            _ => Standing::Clear,
        })
    }

    /// Makes it durable that a group begins here.
    fn begin_at(&self, group: &Arc<str>, candidate: &Candidate, offset: u64) {
        self.begin_offset(
            group,
            &candidate.topic,
            candidate.queue_id,
            record::signed(offset),
        );
    }
}
