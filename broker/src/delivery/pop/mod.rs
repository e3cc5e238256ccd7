//! Pop: what a group gets next, taken under a mark, and handed out once that is durable.

mod admit;
mod candidate;
mod lite;
mod read;
mod take;
mod taken;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{PopError, PopRequest};
use crate::broker::Broker;
use admit::Admitted;
pub use taken::TakenPop;

/// Queues that are looked at for what is left when enough is taken.
const REST_QUEUES_MAX: usize = 64;

/// Whether a pop may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Not for messages; those that are not in memory make it [`PopStep::Cold`].
    Memory,
    /// It may block.
    Disk,
}

/// What a pop comes to at first.
#[derive(Debug)]
pub enum PopStep {
    /// Messages are taken; [`TakenPop::store`] hands them out.
    Taken(TakenPop),
    /// The next messages are on the disk: begin again with [`Reading::Disk`], where one may block.
    Cold,
    /// There is nothing.
    Empty {
        /// Messages that are there and cannot be had now.
        rest: u64,
        /// Whether there may be more behind what was looked at: begin again at once.
        again: bool,
    },
}

impl Broker {
    /// Begins a pop: takes messages, as many as are wanted and there, but hands none out yet.
    ///
    /// With [`Reading::Memory`] it does not wait for the disk, but for pages of an old segment's index that are not in memory.
    ///
    /// # Errors
    /// Those of [`PopError`].
    pub fn begin_pop(self: &Arc<Self>, request: &PopRequest, reading: Reading) -> Result<PopStep, PopError> {
        let admitted = self.admit_pop(request)?;
        let mut taken = self.new_pop(request, &admitted);
        let id = taken.id;
        let (mut again, mut is_cold) = (false, false);
        let mut looks_left = REST_QUEUES_MAX;
        for candidate in self.candidates(request, &admitted, id) {
            if taken.count() >= admitted.messages_max {
                looks_left = looks_left.saturating_sub(1);
                if looks_left == 0 {
                    break;
                }
                if !request.ordered {
                    taken.rest += self.rest_of(&admitted.group.name, &candidate);
                }
                continue;
            }
            let look = self.take_from(&mut taken, &candidate, request, &admitted, reading)?;
            taken.rest += look.rest;
            again |= look.again;
            is_cold |= look.is_cold;
        }
        Ok(self.popped(taken, &admitted, is_cold, again))
    }

    fn new_pop(self: &Arc<Self>, request: &PopRequest, admitted: &Admitted) -> TakenPop {
        TakenPop {
            broker: self.clone(),
            id: self.next_pop.fetch_add(1, Ordering::Relaxed),
            group: admitted.group.name.clone(),
            topic: admitted.topic.name.clone(),
            attempt_id: request.attempt_id.clone(),
            pop_ms: self.clock.now_ms(),
            invisible_ms: request.invisible_ms,
            ordered: request.ordered,
            rest: 0,
            from: Vec::new(),
            queues: Vec::new(),
            is_released: false,
            is_out: false,
        }
    }

    /// What all looks of a pop came to.
    fn popped(&self, mut taken: TakenPop, admitted: &Admitted, is_cold: bool, again: bool) -> PopStep {
        if taken.count() == 0 {
            let rest = taken.rest;
            // Nothing is marked, and nobody is to be woken for it.
            taken.is_released = true;
            return if is_cold {
                PopStep::Cold
            } else {
                PopStep::Empty { rest, again }
            };
        }
        self.received(
            &admitted.topic,
            &admitted.group,
            taken.count(),
            taken.size_bytes(),
        );
        PopStep::Taken(taken)
    }
}
