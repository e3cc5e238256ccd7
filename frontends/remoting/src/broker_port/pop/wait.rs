//! Held pops: a task each, asleep until there may be a message for it, the time is up, or the client is gone.

use std::sync::Arc;

use kourou_broker::delivery::{PopHold, Reading, Waiter};
use kourou_proto::ResponseCode;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::{Nothing, Port, Waiting, answer, go};

/// Says why nothing was found, as upstream does.
const NO_MESSAGE: &str = "NO_MESSAGE_IN_QUEUE";

/// Holds a pop that found nothing, or looks on for it.
pub(super) fn hold(port: &Arc<Port>, mut nothing: Nothing) {
    if !nothing.again && nothing.waiting.deadline.is_none() {
        return timed_out(port, nothing);
    }
    if !nothing.waiting.reply.hold() {
        return full(port, nothing);
    }
    let port = Arc::clone(port);
    let runtime = nothing.waiting.runtime.clone();
    runtime.spawn(async move { wait(&port, nothing).await });
}

async fn wait(port: &Arc<Port>, mut nothing: Nothing) {
    let connection = Arc::clone(nothing.waiting.reply.connection());
    loop {
        if nothing.again {
            // There is more to look through.
            tokio::task::consume_budget().await;
            nothing = match go(port, nothing.waiting, Reading::Memory) {
                None => return,
                Some(nothing) => nothing,
            };
            continue;
        }
        let Some(deadline) = nothing.waiting.deadline else {
            return timed_out(port, nothing);
        };
        let woken = Arc::new(Notify::new());
        let wake = Arc::clone(&woken);
        let request = &nothing.waiting.request;
        let guard = match port
            .broker
            .hold_pop(request, Waiter::Pop, move || wake.notify_one())
        {
            Ok(PopHold::Held(guard)) => guard,
            Ok(PopHold::Full) => return full(port, nothing),
            Err(error) => return answer::refuse(&error, nothing.waiting.reply),
        };
        // From now on nothing is missed; what came before is there.
        nothing = match go(port, nothing.waiting, Reading::Memory) {
            None => return,
            Some(nothing) => nothing,
        };
        if nothing.again {
            continue;
        }
        let last = tokio::select! {
            () = woken.notified() => false,
            () = connection.closed() => {
                drop(guard);
                return port.broker.pass_on(&nothing.waiting.request);
            }
            () = sleep_until(deadline) => true,
        };
        drop(guard);
        if connection.is_congested() {
            port.broker.pass_on(&nothing.waiting.request);
            return timed_out(port, nothing);
        }
        nothing = match go(port, nothing.waiting, Reading::Memory) {
            None => return,
            Some(nothing) => nothing,
        };
        if last && !nothing.again {
            return timed_out(port, nothing);
        }
    }
}

fn timed_out(port: &Arc<Port>, nothing: Nothing) {
    let Waiting { request, reply, .. } = nothing.waiting;
    let code = ResponseCode::POLLING_TIMEOUT;
    answer::nothing(port, &request, nothing.rest, code, NO_MESSAGE, reply);
}

fn full(port: &Arc<Port>, nothing: Nothing) {
    let Waiting { request, reply, .. } = nothing.waiting;
    let code = ResponseCode::POLLING_FULL;
    answer::nothing(port, &request, nothing.rest, code, NO_MESSAGE, reply);
}
