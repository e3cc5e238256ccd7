//! Which queues a pop looks at, and where the group goes on in each.

use std::sync::Arc;

use super::admit::Admitted;
use crate::broker::Broker;
use crate::delivery::retry::retry_topics_of;
use crate::delivery::{PopRequest, PopStart, RetryKind};
use crate::name;
use crate::topic::MessageType;

/// Of so many pops, one looks at the retry topics first.
const RETRY_FIRST_EVERY: u64 = 5;

/// The attribute of a group that says how many of a hundred pops go by priority.
const PRIORITY_FACTOR: &str = "priority.factor";

/// A queue that a pop looks at.
pub(super) struct Candidate {
    pub(super) topic: Arc<str>,
    pub(super) retry: RetryKind,
    pub(super) queue_id: u32,
}

impl Broker {
    /// The queues of one pop, in the order in which it looks at them.
    pub(super) fn candidates(&self, request: &PopRequest, admitted: &Admitted, id: u64) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let topic = &admitted.topic;
        let by_priority = !request.ordered && is_by_priority(admitted, id);
        match u32::try_from(request.queue_id) {
            Ok(queue_id) => candidates.push(Candidate {
                topic: topic.name.clone(),
                retry: RetryKind::of(&topic.name),
                queue_id,
            }),
            Err(_) => {
                let queues = topic.read_queues;
                let first = if by_priority { 0 } else { self.choose_queue(queues) };
                candidates.extend((0..queues).map(|at| Candidate {
                    topic: topic.name.clone(),
                    retry: RetryKind::of(&topic.name),
                    queue_id: if by_priority {
                        queues - 1 - at
                    } else {
                        (first + at) % queues
                    },
                }));
            }
        }
        if request.ordered || name::is_retry_topic(&topic.name) {
            return candidates;
        }
        let normal = candidates.len();
        for (retry, name) in retry_topics_of(&admitted.group.name, &topic.name, self.options.retry_topic_v2) {
            if let Some(config) = self.state.topics.get(&name) {
                candidates.extend((0..config.read_queues).map(|queue_id| Candidate {
                    topic: config.name.clone(),
                    retry,
                    queue_id,
                }));
            }
        }
        if !by_priority && id.is_multiple_of(RETRY_FIRST_EVERY) {
            candidates.rotate_left(normal);
        }
        candidates
    }

    /// Messages of a queue that a group has not been given.
    pub(super) fn rest_of(&self, group: &str, candidate: &Candidate) -> u64 {
        let Some(range) = self.queue_range(&candidate.topic, candidate.queue_id) else {
            return 0;
        };
        let committed = self
            .state
            .offsets
            .get(group, &candidate.topic, candidate.queue_id);
        let next = committed
            .and_then(|offset| u64::try_from(offset).ok())
            .unwrap_or(range.min);
        range.max.saturating_sub(next.max(range.min))
    }

    /// Where a group goes on in a queue, or begins. Where it begins is remembered durably even if nothing is found there: what
    /// comes later must not be taken for what was there before.
    pub(super) fn pop_place(
        &self,
        request: &PopRequest,
        group: &Arc<str>,
        candidate: &Candidate,
    ) -> (Option<i64>, u64) {
        let (topic, queue_id) = (&*candidate.topic, candidate.queue_id);
        if let Some(offset) = self.state.offsets.get(group, topic, queue_id) {
            return (Some(offset), u64::try_from(offset).unwrap_or(0));
        }
        let (min, max) = (self.min_offset(topic, queue_id), self.max_offset(topic, queue_id));
        let first = match request.start {
            PopStart::Min => min,
            _ if candidate.retry != RetryKind::Normal => min,
            PopStart::Max => self
                .committed_offset(group, topic, queue_id, true)
                .and_then(|offset| u64::try_from(offset).ok())
                .unwrap_or_else(|| max.saturating_sub(1).max(min)),
        };
        (None, first)
    }
}

/// Whether a pop begins with the most urgent messages: those of a topic for priorities, whose queues are the higher the more urgent. So
/// does each pop, unless the group has less than all of them do so; and retries come last.
fn is_by_priority(admitted: &Admitted, id: u64) -> bool {
    if MessageType::of_topic(&admitted.topic.attributes) != Some(MessageType::Priority) {
        return false;
    }
    let factor = admitted.group.attributes.get(PRIORITY_FACTOR);
    let in_hundred = factor.and_then(|factor| factor.parse().ok()).unwrap_or(100);
    id % 100 < in_hundred
}
