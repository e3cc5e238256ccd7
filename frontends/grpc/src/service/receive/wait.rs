//! Waiting for messages: asleep until the append that concerns it, the time is up, or the port shuts down. A client that goes away
//! drops it.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::delivery::{PopError, PopHold, PopHoldGuard, PopRequest, PopStep, Reading, Waiter};
use kourou_broker::lite::{LiteHold, LiteHoldGuard};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep_until;

use super::ask::Ask;
use super::handout::Handout;
use crate::port::Port;
use crate::refusal::Refusal;
use crate::wire::v2::Code;

/// Somebody who waits may have been woken for a message. Dropped, it wakes another one in its place.
struct Turn {
    broker: Arc<Broker>,
    wish: Wish,
    is_over: bool,
}

/// What is waited for.
#[derive(Clone)]
struct Wish {
    pop: PopRequest,
    /// Of lite topics, the client whose they are.
    lite_client: Option<Arc<str>>,
}

/// What keeps a place among those who wait.
enum Held {
    Queues(#[expect(dead_code, reason = "its end is what counts")] PopHoldGuard),
    Lite(#[expect(dead_code, reason = "its end is what counts")] LiteHoldGuard),
}

impl Wish {
    fn begin(&self, broker: &Arc<Broker>, reading: Reading) -> Result<PopStep, PopError> {
        match &self.lite_client {
            None => broker.begin_pop(&self.pop, reading),
            Some(client_id) => broker.begin_lite_pop(&self.pop, client_id, reading),
        }
    }

    /// `None` if as many wait as may.
    fn hold(
        &self,
        broker: &Arc<Broker>,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<Option<Held>, PopError> {
        Ok(match &self.lite_client {
            None => match broker.hold_pop(&self.pop, Waiter::Pop, wake)? {
                PopHold::Held(guard) => Some(Held::Queues(guard)),
                PopHold::Full => None,
            },
            Some(client_id) => match broker.hold_lite(&self.pop, client_id, wake)? {
                LiteHold::Held(guard) => Some(Held::Lite(guard)),
                LiteHold::Full => None,
            },
        })
    }

    fn pass_on(&self, broker: &Broker) {
        match &self.lite_client {
            None => broker.pass_on(&self.pop),
            Some(client_id) => broker.pass_on_lite(&self.pop, client_id),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.wish.pass_on(&self.broker);
        }
    }
}

/// What one look came to.
enum Look {
    Found(Handout),
    Nothing,
    /// There may be more behind what was looked at.
    Again,
}

/// Messages, as soon as there are some; `None` if there are none in time.
pub(super) async fn wait(port: &Arc<Port>, ask: Ask) -> Result<Option<Handout>, Refusal> {
    let Ask {
        pop,
        lite_client,
        topic,
        deadline,
        renewed_for,
    } = ask;
    let mut turn = Turn {
        broker: Arc::clone(&port.broker),
        wish: Wish { pop, lite_client },
        is_over: false,
    };
    let found = look_until(port, &turn.wish, deadline).await;
    turn.is_over = true;
    Ok(found?.map(|found| found.asked_as(topic, renewed_for)))
}

async fn look_until(
    port: &Arc<Port>,
    wish: &Wish,
    deadline: tokio::time::Instant,
) -> Result<Option<Handout>, Refusal> {
    let woken = Arc::new(Notify::new());
    let mut held = None;
    let mut is_last = false;
    loop {
        match look(port, wish).await? {
            Look::Found(found) => return Ok(Some(found)),
            Look::Again => {
                tokio::task::consume_budget().await;
                continue;
            }
            Look::Nothing if is_last => return Ok(None),
            Look::Nothing => {}
        }
        if held.is_none() {
            let wake = Arc::clone(&woken);
            held = wish.hold(&port.broker, move || wake.notify_one())?;
            if held.is_none() {
                return Err(full());
            }
            // From now on nothing is missed; what came before is there.
            continue;
        }
        tokio::select! {
            () = woken.notified() => {}
            () = sleep_until(deadline) => is_last = true,
            () = port.shutdown.cancelled() => is_last = true,
        }
        held = None;
    }
}

fn full() -> Refusal {
    Refusal::new(
        Code::TooManyRequests,
        "polling full: as many receives of this group wait for the topic as may",
    )
}

async fn look(port: &Arc<Port>, wish: &Wish) -> Result<Look, Refusal> {
    let (told, outcome) = oneshot::channel();
    match begin(&port.broker, wish, Reading::Memory, told)? {
        Begun::Storing => {}
        Begun::Empty { again: true } => return Ok(Look::Again),
        Begun::Empty { again: false } => return Ok(Look::Nothing),
        Begun::Cold(told) => {
            // What is taken there is handed out there: whoever waits for it may be gone by then.
            let (broker, wish) = (Arc::clone(&port.broker), wish.clone());
            match port
                .blocking(move || begin(&broker, &wish, Reading::Disk, told))
                .await??
            {
                Begun::Storing => {}
                Begun::Cold(_) | Begun::Empty { again: true } => return Ok(Look::Again),
                Begun::Empty { again: false } => return Ok(Look::Nothing),
            }
        }
    }
    match outcome.await {
        Ok(Ok(Some(handout))) => Ok(Look::Found(handout)),
        Ok(Ok(None)) => Ok(Look::Again),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Refusal::new(Code::InternalServerError, "the broker has stopped")),
    }
}

/// Hears what was handed out; nothing, if somebody else set the group's offset meanwhile, or if all of it is dead.
type Told = oneshot::Sender<Result<Option<Handout>, PopError>>;

enum Begun {
    /// Messages are taken, and will be told of.
    Storing,
    Empty {
        again: bool,
    },
    Cold(Told),
}

fn begin(broker: &Arc<Broker>, wish: &Wish, reading: Reading, told: Told) -> Result<Begun, Refusal> {
    Ok(match wish.begin(broker, reading)? {
        PopStep::Taken(taken) => {
            let broker = Arc::clone(broker);
            let (group, topic) = (wish.pop.group.clone(), wish.pop.topic.clone());
            taken.store(move |stored| {
                let stored = stored.map(|popped| Handout::new(broker, group, topic, popped));
                // If nobody waits any more, dropping them has them come again soon.
                let _ = told.send(stored);
            });
            Begun::Storing
        }
        PopStep::Cold => Begun::Cold(told),
        PopStep::Empty { again, .. } => Begun::Empty { again },
    })
}
