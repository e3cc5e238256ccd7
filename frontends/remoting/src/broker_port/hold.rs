//! Held pulls: a task each, asleep until a message arrives, the time is up, or the client is gone.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::receive::{Empty, HoldResult, PullOutcome, PullRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Port;
use super::pull;
use crate::connection::ReplyTo;

/// Holds a pull that found nothing. If as many are held as may be, it is answered at once.
pub(super) fn hold(
    port: &Arc<Port>,
    request: PullRequest,
    empty: Empty,
    hold_for: Duration,
    mut reply: ReplyTo,
) {
    if !reply.hold() {
        return pull::answer_empty(&empty, reply);
    }
    let port = Arc::clone(port);
    let deadline = Instant::now() + hold_for;
    // Not within another future, which would keep all of this a second time for as long as the pull is held.
    tokio::spawn(wait(port, request, empty, deadline, reply));
}

async fn wait(port: Arc<Port>, request: PullRequest, mut empty: Empty, deadline: Instant, reply: ReplyTo) {
    let connection = Arc::clone(reply.connection());
    let mut last = false;
    while !last {
        let arrived = Arc::new(Notify::new());
        let wake = Arc::clone(&arrived);
        match port
            .broker
            .hold(&request, empty.place.next_offset, move || wake.notify_one())
        {
            HoldResult::Held(guard) => {
                tokio::select! {
                    () = arrived.notified() => {}
                    () = connection.closed() => return,
                    () = tokio::time::sleep_until(deadline) => last = true,
                }
                drop(guard);
            }
            HoldResult::AlreadyArrived => {}
            HoldResult::Full => last = true,
        }
        if connection.is_congested() {
            return pull::answer_again(&empty.place, request.offset, reply);
        }
        match port.broker.pull(&request) {
            Ok(PullOutcome::Empty(again)) if again.may_hold() && !last => {
                // What arrived is gone again, or was for another filter with the same hash.
                empty = again;
                tokio::task::consume_budget().await;
            }
            outcome => return pull::finish(&port, outcome, reply),
        }
    }
}
