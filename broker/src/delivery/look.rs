//! Looking without taking: peek, and whether there is anything at all.

use std::sync::Arc;

use bytes::Bytes;

use super::inner;
use super::order::Standing;
use super::retry::retry_topics_of;
use super::table::GroupQueueKey;
use super::{PopError, PopRequest};
use crate::broker::Broker;
use crate::text::Text;

/// One peek.
#[derive(Debug, Clone)]
pub struct PeekRequest {
    /// The consumer group.
    pub group: Text,
    /// The topic.
    pub topic: Text,
    /// The queue; below 0 for any.
    pub queue_id: i32,
    /// Messages wanted at the most.
    pub messages_max: i32,
}

/// What a peek shows: nothing of it is handed out.
#[derive(Debug, Clone, Default)]
pub struct Peeked {
    /// The records, as stored.
    pub records: Vec<Bytes>,
    /// Messages that the group has not been given, these among them.
    pub rest: u64,
}

/// Where a group stands in one queue.
struct Place {
    topic: Arc<str>,
    queue_id: u32,
    next: u64,
    max: u64,
}

impl Broker {
    /// Shows what a group would get next. May block on the disk.
    ///
    /// # Errors
    /// Those of [`PopError`].
    pub fn peek(&self, request: &PeekRequest) -> Result<Peeked, PopError> {
        let max_messages = self.options.limits.pop_messages_max;
        let wanted = usize::try_from(request.messages_max.min(max_messages)).unwrap_or(0);
        let places = self.places(&request.group, &request.topic, request.queue_id, true)?;
        let mut peeked = Peeked::default();
        let mut size_bytes = 0;
        for place in places {
            peeked.rest += place.max - place.next;
            let room = wanted.saturating_sub(peeked.records.len());
            let mut entries = Vec::new();
            self.engine
                .entries(&place.topic, place.queue_id, place.next, room, &mut entries);
            for entry in entries {
                size_bytes += entry.size_bytes as usize;
                if size_bytes > self.options.limits.pull_hot_size_bytes_max && !peeked.records.is_empty() {
                    break;
                }
                let record = self.engine.read(entry.position, entry.size_bytes)?;
                peeked.records.push(inner::at(record, entry.queue_offset));
            }
        }
        Ok(peeked)
    }

    /// Whether a pop would find something, as far as that is known without looking at messages.
    ///
    /// # Errors
    /// Those of [`PopError`].
    pub fn has_poppable(&self, request: &PopRequest) -> Result<bool, PopError> {
        let places = self.places(&request.group, &request.topic, request.queue_id, !request.ordered)?;
        let now_ms = self.clock.now_ms();
        Ok(places.iter().any(|place| {
            if !request.ordered {
                return place.next < place.max;
            }
            let key = GroupQueueKey {
                group: &request.group,
                topic: &place.topic,
                queue_id: place.queue_id,
            };
            let standing = self.state.deliveries.with_block(key, |block| {
                block.map_or(Standing::Clear, |block| {
                    block.standing(&request.attempt_id, now_ms)
                })
            });
            match standing {
                Standing::Blocked => false,
                Standing::Again(_) => true,
                Standing::Clear => place.next < place.max,
            }
        }))
    }

    /// Messages that are out and wait for their acknowledgement, of a group in one queue.
    pub fn deliveries_out(&self, group: &str, topic: &str, queue_id: u32) -> usize {
        self.state.deliveries.out(Some(GroupQueueKey {
            group,
            topic,
            queue_id,
        }))
    }

    /// Messages that are out and wait for their acknowledgement, all together. Those out in order are not counted.
    pub fn deliveries(&self) -> usize {
        self.state.deliveries.out(None)
    }

    fn places(
        &self,
        group: &Text,
        topic: &Text,
        queue_id: i32,
        with_retries: bool,
    ) -> Result<Vec<Place>, PopError> {
        let (config, group) = self.admit_popper(group, topic, queue_id)?;
        let group = &group.name;
        let queues = match u32::try_from(queue_id) {
            Ok(queue_id) => queue_id..queue_id + 1,
            Err(_) => 0..config.read_queues,
        };
        let mut places: Vec<_> = queues
            .map(|queue_id| self.place_of(group, &config.name, queue_id))
            .collect();
        if with_retries {
            for (_, name) in retry_topics_of(group, topic, self.options.retry_topic_v2) {
                if let Some(retry) = self.state.topics.get(&name) {
                    places.extend(
                        (0..retry.read_queues).map(|queue_id| self.place_of(group, &retry.name, queue_id)),
                    );
                }
            }
        }
        Ok(places)
    }

    fn place_of(&self, group: &str, topic: &Arc<str>, queue_id: u32) -> Place {
        let (min, max) = (self.min_offset(topic, queue_id), self.max_offset(topic, queue_id));
        let committed = self.state.offsets.get(group, topic, queue_id);
        let next = committed
            .and_then(|offset| u64::try_from(offset).ok())
            .unwrap_or(min)
            .clamp(min, max);
        Place {
            topic: topic.clone(),
            queue_id,
            next,
            max,
        }
    }
}
