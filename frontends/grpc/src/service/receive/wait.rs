//! Waiting for messages: asleep until the append that concerns it, the time is up, or the port shuts down. A client that goes away
//! drops it.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::delivery::{PopError, PopHold, PopRequest, PopStep, Reading, Waiter};
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
    pop: PopRequest,
    is_over: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.broker.pass_on(&self.pop);
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
        topic,
        deadline,
        renewed_for,
    } = ask;
    let mut turn = Turn {
        broker: Arc::clone(&port.broker),
        pop,
        is_over: false,
    };
    let found = look_until(port, &turn.pop, deadline).await;
    turn.is_over = true;
    Ok(found?.map(|found| found.asked_as(topic, renewed_for)))
}

async fn look_until(
    port: &Arc<Port>,
    pop: &PopRequest,
    deadline: tokio::time::Instant,
) -> Result<Option<Handout>, Refusal> {
    let woken = Arc::new(Notify::new());
    let mut held = None;
    let mut is_last = false;
    loop {
        match look(port, pop).await? {
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
            held = match port
                .broker
                .hold_pop(pop, Waiter::Pop, move || wake.notify_one())?
            {
                PopHold::Held(guard) => Some(guard),
                PopHold::Full => return Err(full()),
            };
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

async fn look(port: &Arc<Port>, pop: &PopRequest) -> Result<Look, Refusal> {
    let (told, outcome) = oneshot::channel();
    match begin(&port.broker, pop, Reading::Memory, told)? {
        Begun::Storing => {}
        Begun::Empty { again: true } => return Ok(Look::Again),
        Begun::Empty { again: false } => return Ok(Look::Nothing),
        Begun::Cold(told) => {
            // What is taken there is handed out there: whoever waits for it may be gone by then.
            let (broker, pop) = (Arc::clone(&port.broker), pop.clone());
            match port
                .blocking(move || begin(&broker, &pop, Reading::Disk, told))
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

fn begin(broker: &Arc<Broker>, pop: &PopRequest, reading: Reading, told: Told) -> Result<Begun, Refusal> {
    Ok(match broker.begin_pop(pop, reading)? {
        PopStep::Taken(taken) => {
            let broker = Arc::clone(broker);
            let (group, topic) = (pop.group.clone(), pop.topic.clone());
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
