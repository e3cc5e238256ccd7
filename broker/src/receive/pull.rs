//! Pull: the checks, then the records.

use std::sync::Arc;

use super::cold::ColdPull;
use super::scan::{Room, Scan, Visit};
use super::{Empty, PullError, PullOutcome, PullPlace, PullRequest, PullStatus, Pulled};
use crate::broker::Broker;
use crate::client::{MessageModel, Subscribed, Subscription};
use crate::filter::Filter;
use crate::group::GroupConfig;
use crate::topic::{TopicConfig, perm};

/// A pull that has passed the checks.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) topic: Arc<TopicConfig>,
    pub(crate) group: Arc<GroupConfig>,
    pub(crate) queue_id: u32,
    pub(crate) filter: Filter,
}

impl Broker {
    /// Answers a pull from memory, or says that the disk must be read for it. Commits the offset that came with it. Does not
    /// wait for the disk, but for pages of an old segment's index that are not in memory.
    ///
    /// # Errors
    /// Those of [`PullError`].
    pub fn pull(self: &Arc<Self>, request: &PullRequest) -> Result<PullOutcome, PullError> {
        let admitted = self.admit_pull(request)?;
        let reset = self.take_reset(&request.group, &request.topic, admitted.queue_id);
        // What comes with a pull that is sent elsewhere is where the consumer was before.
        let commit = request
            .commit_offset
            .filter(|offset| *offset >= 0 && reset.is_none());
        if let Some(offset) = commit {
            self.state
                .offsets
                .commit(&request.group, &request.topic, admitted.queue_id, offset);
            self.trace_committed(&request.group, &request.topic, admitted.queue_id, offset);
        }
        let mut place = PullPlace {
            next_offset: 0,
            min_offset: 0,
            max_offset: 0,
            suggest_broker_id: 0,
            topic_sys_flag: admitted.topic.sys_flag,
            group_sys_flag: admitted.group.sys_flag,
        };
        let empty = |status: PullStatus, place: PullPlace| {
            Ok(PullOutcome::Empty(Empty {
                status,
                code: status.code(request.offset),
                place,
            }))
        };
        if let Some(offset) = reset {
            place.next_offset = offset;
            place.min_offset = self.min_offset(&request.topic, admitted.queue_id);
            place.max_offset = self.max_offset(&request.topic, admitted.queue_id);
            return empty(PullStatus::OffsetReset, place);
        }
        self.admit_receive(&admitted.topic, &admitted.group)?;
        let Some(range) = self.queue_range(&request.topic, admitted.queue_id) else {
            return empty(PullStatus::NoMatchedLogicQueue, place);
        };
        (place.min_offset, place.max_offset) = (range.min, range.max);
        if range.max == 0 {
            return empty(PullStatus::NoMessageInQueue, place);
        }
        let offset = match u64::try_from(request.offset) {
            Ok(offset) if offset >= range.min => offset,
            _ => {
                place.next_offset = range.min;
                return empty(PullStatus::OffsetTooSmall, place);
            }
        };
        if offset >= range.max {
            place.next_offset = range.max;
            let is_next = offset == range.max;
            return empty(
                if is_next {
                    PullStatus::OffsetOverflowOne
                } else {
                    PullStatus::OffsetOverflowBadly
                },
                place,
            );
        }

        let messages_max = usize::try_from(request.messages_max).unwrap_or(0).max(1);
        let room = Room::hot(&self.options.limits, messages_max);
        let mut records = Vec::new();
        let mut size_bytes = 0;
        let mut is_cold = false;
        let scan = self.scan(&admitted, &room, messages_max);
        place.next_offset = scan.run(offset, |entry| {
            if !room.fits(records.len(), size_bytes, entry.size_bytes) {
                return Visit::Left;
            }
            let Some(record) = self.engine.read_hot(entry.position, entry.size_bytes) else {
                // What is in memory is answered now, what is on the disk by the next pull.
                is_cold = records.is_empty();
                return Visit::Left;
            };
            if !admitted.filter.matches_record(&record) {
                return Visit::Taken;
            }
            size_bytes += record.len();
            if records.is_empty() {
                records.reserve_exact(expected(&room, range.max - entry.queue_offset));
            }
            records.push(record);
            if records.len() < room.messages_max {
                Visit::Taken
            } else {
                Visit::TakenLast
            }
        });
        if is_cold {
            let offset = place.next_offset;
            return Ok(PullOutcome::Cold(ColdPull::new(
                self.clone(),
                admitted,
                place,
                offset,
                messages_max,
            )));
        }
        if records.is_empty() {
            return empty(PullStatus::NoMatchedMessage, place);
        }
        self.received(&admitted.topic, &admitted.group, records.len(), size_bytes);
        self.trace_pulled(
            &admitted.group.name,
            &admitted.topic.name,
            admitted.queue_id,
            &records,
        );
        Ok(PullOutcome::Found(Pulled {
            records,
            size_bytes,
            place,
        }))
    }

    pub(super) fn scan<'a>(&'a self, admitted: &'a Admitted, room: &Room, messages_max: usize) -> Scan<'a> {
        Scan {
            engine: &self.engine,
            topic: &admitted.topic.name,
            queue_id: admitted.queue_id,
            filter: &admitted.filter,
            entries_max: messages_max.max(self.options.limits.pull_scan_entries_max),
            wanted: room.messages_max,
        }
    }

    /// The checks of a pull, in the order in which their failures are reported.
    pub(crate) fn admit_pull(&self, request: &PullRequest) -> Result<Admitted, PullError> {
        if !perm::is_readable(self.options.perm) {
            return Err(PullError::BrokerNotReadable {
                broker: self.options.store_host,
            });
        }
        let Some(group) = self.group_in_use(&request.group) else {
            return Err(PullError::GroupNotExist {
                group: request.group.clone(),
            });
        };
        if !group.consume_enable {
            return Err(PullError::GroupForbidden {
                group: request.group.clone(),
            });
        }
        let Some(topic) = self.state.topics.get(&request.topic) else {
            return Err(PullError::TopicNotExist {
                topic: request.topic.clone(),
            });
        };
        if !perm::is_readable(topic.perm) {
            return Err(PullError::TopicNotReadable {
                topic: request.topic.clone(),
            });
        }
        let queue_id = u32::try_from(request.queue_id)
            .ok()
            .filter(|queue_id| *queue_id < topic.read_queues);
        let Some(queue_id) = queue_id else {
            return Err(PullError::QueueNotExist {
                topic: request.topic.clone(),
                queue_id: request.queue_id,
                queues: topic.read_queues,
            });
        };
        let filter = self.filter_of(request, &group)?;
        Ok(Admitted {
            topic,
            group,
            queue_id,
            filter,
        })
    }

    fn filter_of(&self, request: &PullRequest, group: &GroupConfig) -> Result<Filter, PullError> {
        if let Some(inline) = &request.subscription {
            return Filter::compile(&inline.expression_type, &inline.expression)
                .map_err(PullError::of_inline);
        }
        let (message_model, subscription) = self.subscription_of(request)?;
        if !group.consume_broadcast_enable && message_model == MessageModel::Broadcasting {
            return Err(PullError::BroadcastForbidden {
                group: request.group.clone(),
            });
        }
        if subscription.data.version < request.sub_version {
            return Err(PullError::SubscriptionNotLatest);
        }
        subscription.filter.map_err(PullError::of_heartbeat)
    }
}

impl Broker {
    /// The subscription that a pull goes by: that of the group's connected members or, until their next heartbeat, the one that
    /// is remembered, if the pull does not speak of a newer one.
    fn subscription_of(&self, request: &PullRequest) -> Result<(MessageModel, Subscription), PullError> {
        let live = self.clients.subscribed(&request.group, &request.topic);
        let refusal = match live {
            Some(Subscribed {
                message_model,
                subscription: Some(subscription),
            }) => return Ok((message_model, subscription)),
            Some(_) => PullError::SubscriptionNotExist,
            None => PullError::GroupNotOnline,
        };
        match self.state.subscriptions.get(&request.group, &request.topic) {
            Some(kept) if kept.subscription.data.version >= request.sub_version => {
                Ok((kept.message_model, kept.subscription))
            }
            _ => Err(refusal),
        }
    }
}

/// How many records to make room for.
fn expected(room: &Room, available: u64) -> usize {
    usize::try_from(available)
        .unwrap_or(usize::MAX)
        .min(room.messages_max)
}
