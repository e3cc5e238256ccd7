//! Pops of lite topics: by client, in order, a share from each that has something.

use std::sync::Arc;

use super::admit::Admitted;
use super::candidate::Candidate;
use super::{PopStep, Reading};
use crate::broker::Broker;
use crate::delivery::{PopError, PopRequest, RetryKind};
use crate::filter::Filter;
use crate::group::GroupConfig;
use crate::lite::{LiteSettings, is_parent};
use crate::topic::TopicConfig;

/// Lite topics that one pop looks at.
const LOOKS_MAX: usize = 64;

impl Broker {
    /// Begins a pop of the lite topics that a client subscribes to, as [`Broker::begin_pop`] does of queues. It is always in order:
    /// of each lite topic one client of a group has messages at a time, until all of them are acknowledged or their time is over.
    /// Those that have something share what is wanted; none comes again before all others have been looked at.
    ///
    /// Of `request` the queue, the start, the subscription and the order do not count: a group that has never consumed a lite
    /// topic begins at its first message.
    ///
    /// # Errors
    /// Those of [`PopError`].
    pub fn begin_lite_pop(
        self: &Arc<Self>,
        request: &PopRequest,
        client_id: &str,
        reading: Reading,
    ) -> Result<PopStep, PopError> {
        let wanted = self.check_pop(request)?;
        let (topic, group) = self.admit_lite_popper(request)?;
        self.admit_receive(&topic, &group)?;
        let mut admitted = Admitted {
            topic,
            group,
            filter: Filter::All,
            messages_max: wanted,
        };
        let mut taken = self.new_pop(request, &admitted);
        taken.ordered = true;
        let request = PopRequest {
            ordered: true,
            start: crate::delivery::PopStart::Min,
            ..request.clone()
        };
        let (group, topic) = (admitted.group.name.clone(), admitted.topic.name.clone());
        let mut turn = self
            .state
            .lite
            .take_turn(&topic, &group, client_id, LOOKS_MAX, taken.pop_ms);
        let share = wanted.div_ceil(turn.len().max(1));
        let is_full_turn = turn.len() == LOOKS_MAX;
        let mut is_cold = false;
        let size_bytes_max = self.options.limits.pull_hot_size_bytes_max;
        // The first message of each always fits, so one may go beyond the bound; the others are the next ones then.
        while taken.count() < wanted
            && taken.size_bytes() < size_bytes_max
            && let Some(ready) = turn.next()
        {
            let candidate = Candidate {
                topic: topic.clone(),
                retry: RetryKind::Normal,
                queue_id: ready.queue_id,
            };
            admitted.messages_max = wanted.min(taken.count() + share);
            match self.take_from(&mut taken, &candidate, &request, &admitted, reading) {
                Ok(look) if look.is_cold || look.is_full => {
                    is_cold |= look.is_cold;
                    turn.put_back(ready);
                }
                Ok(_) => {}
                Err(error) => {
                    turn.put_back(ready);
                    return Err(error);
                }
            }
        }
        drop(turn);
        let again = is_full_turn && !is_cold;
        Ok(self.popped(taken, &admitted, is_cold, again))
    }

    /// The checks that a receive of lite topics and those who wait for one have in common.
    pub(crate) fn admit_lite_popper(
        &self,
        request: &PopRequest,
    ) -> Result<(Arc<TopicConfig>, Arc<GroupConfig>), PopError> {
        let (topic, group) = self.admit_popper(&request.group, &request.topic, -1)?;
        if !is_parent(&topic) {
            return Err(PopError::NotLite {
                topic: request.topic.clone(),
            });
        }
        if LiteSettings::of(&group).is_none_or(|settings| *settings.bind_topic != *topic.name) {
            return Err(PopError::NotBound {
                group: request.group.clone(),
                topic: request.topic.clone(),
            });
        }
        Ok((topic, group))
    }
}
