//! Pops, of queues and of the lite topics that a client subscribes to: looked for at once, held if there is nothing, and looked for once
//! more when they are held.

use kourou_broker::Broker;
use kourou_broker::delivery::{
    PopError, PopHold, PopHoldGuard, PopRequest, PopStep, Popped, Reading, Waiter,
};
use kourou_broker::lite::{LiteHold, LiteHoldGuard};
use std::sync::Arc;

use super::saying::{Answering, Asker, Refusal, Said};
use super::{Held, HeldWhat, Node};
use crate::scene::Scene;
use crate::schedule::Event;
use crate::wire::Reply;

/// What a client wants.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    /// Messages of a topic.
    Queues(PopRequest),
    /// Messages of lite topics that the client of this id subscribes to.
    Lites(PopRequest, String),
}

/// A wish that is held, until this is dropped.
#[derive(Debug)]
pub(super) enum Guard {
    Queues { _guard: PopHoldGuard },
    Lites { _guard: LiteHoldGuard },
}

impl Wish {
    fn pop(&self) -> &PopRequest {
        match self {
            Self::Queues(pop) | Self::Lites(pop, _) => pop,
        }
    }

    fn begin(&self, broker: &Arc<Broker>) -> Result<PopStep, PopError> {
        match self {
            Self::Queues(pop) => broker.begin_pop(pop, Reading::Disk),
            Self::Lites(pop, client_id) => broker.begin_lite_pop(pop, client_id, Reading::Disk),
        }
    }

    /// `None` if as many are held as may be.
    fn hold(
        &self,
        broker: &Arc<Broker>,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<Option<Guard>, PopError> {
        Ok(match self {
            Self::Queues(pop) => match broker.hold_pop(pop, Waiter::Pop, wake)? {
                PopHold::Held(guard) => Some(Guard::Queues { _guard: guard }),
                PopHold::Full => None,
            },
            Self::Lites(pop, client_id) => match broker.hold_lite(pop, client_id, wake)? {
                LiteHold::Held(guard) => Some(Guard::Lites { _guard: guard }),
                LiteHold::Full => None,
            },
        })
    }

    /// Nobody waits for it any more, and others may have what it was woken for.
    pub(super) fn pass_on(&self, broker: &Broker) {
        match self {
            Self::Queues(pop) => broker.pass_on(pop),
            Self::Lites(pop, client_id) => broker.pass_on_lite(pop, client_id),
        }
    }

    fn nothing(&self) -> Reply {
        Reply::Popped(Popped {
            pop_ms: 0,
            invisible_ms: self.pop().invisible_ms,
            ordered: self.pop().ordered,
            rest: 0,
            queues: Vec::new(),
        })
    }
}

impl Node {
    /// With `hold_ms` it is a first look, which may be held.
    pub(super) fn pop(&mut self, scene: &mut Scene, to: Asker, wish: Wish, hold_ms: Option<i64>) {
        let Some(process) = &mut self.process else { return };
        let answering = Answering {
            to,
            outbox: process.outbox.clone(),
            disk: self.disk.clone(),
        };
        let mut number = None;
        // Once to look; if nothing is there, once more when it is held.
        loop {
            match wish.begin(&process.broker) {
                Ok(PopStep::Taken(taken)) => {
                    process.held.remove(&number.unwrap_or(u64::MAX));
                    process.looked_ms.insert(to, scene.now_ms);
                    return taken.store(answering.with(Reply::Popped));
                }
                Ok(PopStep::Empty { again: true, .. }) => continue,
                Ok(PopStep::Empty { .. } | PopStep::Cold) => {}
                Err(error) => return answering.say(error.refused()),
            }
            let Some(hold_ms) = hold_ms.filter(|hold_ms| *hold_ms > 0) else {
                return answering.say(wish.nothing());
            };
            if number.is_some() {
                return;
            }
            let outbox = process.outbox.clone();
            let hold = self.next_hold;
            self.next_hold += 1;
            let wake = move || outbox.lock().push(Said::Woken(hold));
            match wish.hold(&process.broker, wake) {
                Ok(Some(guard)) => {
                    let what = HeldWhat::Pop(wish.clone(), guard);
                    process.held.insert(hold, Held { to, what });
                    scene.after(hold_ms, Event::HoldEnds(hold));
                    number = Some(hold);
                }
                Ok(None) => return answering.say(wish.nothing()),
                Err(error) => return answering.say(error.refused()),
            }
        }
    }
}
