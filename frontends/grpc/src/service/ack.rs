//! What consumers say of messages that they were given: done with, or not yet.

use kourou_broker::delivery::{AckOutcome, DeliveryError, Handle};
use tokio::sync::oneshot;

use super::common;
use crate::limits::receive;
use crate::message::{Given, Receipt, positive};
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{
    AckMessageRequest, AckMessageResponse, AckMessageResultEntry, ChangeInvisibleDurationRequest,
    ChangeInvisibleDurationResponse, Code, ForwardMessageToDeadLetterQueueRequest,
    ForwardMessageToDeadLetterQueueResponse, Resource,
};

fn given<'a>(
    port: &'a Port,
    group: Option<&'a Resource>,
    topic: Option<&'a Resource>,
) -> Result<Given<'a>, Refusal> {
    Ok(Given {
        group: names::group(group)?,
        topic: names::topic(topic)?,
        broker_name: &port.broker.options().broker_name,
    })
}

fn stopped<E>(_: E) -> Refusal {
    Refusal::new(Code::InternalServerError, "the broker has stopped")
}

/// An acknowledgement on its way, or why there is none.
type Acking = Result<oneshot::Receiver<Result<AckOutcome, DeliveryError>>, Refusal>;

/// Acknowledges messages, each with an outcome of its own, and answers once those that are acknowledged are so durably.
pub(super) async fn ack(port: &Port, request: &AckMessageRequest) -> Result<AckMessageResponse, Refusal> {
    let given = given(port, request.group.as_ref(), request.topic.as_ref())?;
    let entries_max = port.limits.acks_per_request_max;
    let count = request.entries.len();
    if !(1..=entries_max).contains(&count) {
        return Err(Refusal::new(
            Code::BadRequest,
            format!("the request acknowledges {count} messages, it must be from 1 to {entries_max}"),
        ));
    }
    // None waits for the one before.
    let begun: Vec<Acking> = request
        .entries
        .iter()
        .map(|entry| Ok(begin(port, &given.read(&entry.receipt_handle)?.handle)))
        .collect();
    let mut entries = Vec::with_capacity(count);
    for (entry, acking) in request.entries.iter().zip(begun) {
        let status = match outcome(acking).await {
            Ok(()) => ok(),
            Err(refusal) => refusal.into(),
        };
        entries.push(AckMessageResultEntry {
            message_id: entry.message_id.clone(),
            receipt_handle: entry.receipt_handle.clone(),
            status: Some(status),
        });
    }
    Ok(AckMessageResponse {
        status: Some(common(entries.iter().map(|entry| entry.status.as_ref()))),
        entries,
    })
}

fn begin(port: &Port, handle: &Handle) -> oneshot::Receiver<Result<AckOutcome, DeliveryError>> {
    port.renewals.forget(handle);
    let (told, outcome) = oneshot::channel();
    port.broker.ack(handle, move |acked| {
        // Nobody waits any more if the client has given up; it is acknowledged all the same.
        let _ = told.send(acked);
    });
    outcome
}

async fn outcome(acking: Acking) -> Result<(), Refusal> {
    match acking?.await.map_err(stopped)?? {
        AckOutcome::Acked => Ok(()),
        AckOutcome::NotOut => Err(Refusal::new(
            Code::InvalidReceiptHandle,
            "the message is not out under this receipt handle: it was acknowledged before, or its time ended and it is delivered \
             again, or it has a newer handle",
        )),
    }
}

/// Gives a message that is out a new time, and with that a new handle. Answers once that is durable.
pub(super) async fn change(
    port: &Port,
    request: &ChangeInvisibleDurationRequest,
) -> Result<ChangeInvisibleDurationResponse, Refusal> {
    let given = given(port, request.group.as_ref(), request.topic.as_ref())?;
    let invisible = request.invisible_duration.as_ref().and_then(positive);
    let invisible = invisible
        .filter(|invisible| *invisible <= receive::INVISIBLE_MAX)
        .ok_or_else(|| {
            Refusal::new(
                Code::IllegalInvisibleTime,
                format!(
                    "the invisible duration must be from 0 s to {} s",
                    receive::INVISIBLE_MAX.as_secs()
                ),
            )
        })?;
    let receipt = given.read(&request.receipt_handle)?;
    port.renewals.forget(&receipt.handle);
    let (told, outcome) = oneshot::channel();
    let invisible_ms = i64::try_from(invisible.as_millis()).unwrap_or(i64::MAX);
    let done = move |changed| {
        // Nobody waits any more if the client has given up; the old handle is void all the same.
        let _ = told.send(changed);
    };
    if request.suspend() {
        port.broker.suspend(&receipt.handle, invisible_ms, done);
    } else {
        port.broker.change_invisible(&receipt.handle, invisible_ms, done);
    }
    let changed = outcome.await.map_err(stopped)??;
    let receipt = Receipt {
        handle: Handle {
            pop_ms: changed.pop_ms,
            invisible_ms: changed.invisible_ms,
            ..receipt.handle
        },
        ..receipt
    };
    Ok(ChangeInvisibleDurationResponse {
        status: Some(ok()),
        receipt_handle: given.write(&receipt),
    })
}

/// Moves a message that is out to the dead-letter topic of its group, and answers once that is durable.
pub(super) async fn bury(
    port: &Port,
    request: &ForwardMessageToDeadLetterQueueRequest,
) -> Result<ForwardMessageToDeadLetterQueueResponse, Refusal> {
    let given = given(port, request.group.as_ref(), request.topic.as_ref())?;
    let handle = given.read(&request.receipt_handle)?.handle;
    port.renewals.forget(&handle);
    let (told, outcome) = oneshot::channel();
    let broker = port.broker.clone();
    // The message may have left the memory.
    port.blocking(move || {
        broker.bury(&handle, None, move |buried| {
            // Nobody waits any more if the client has given up; it is dead all the same.
            let _ = told.send(buried);
        });
    })
    .await?;
    outcome.await.map_err(stopped)??;
    Ok(ForwardMessageToDeadLetterQueueResponse { status: Some(ok()) })
}
