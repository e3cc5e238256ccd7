//! Looking without taking: peek, being told of messages, who waits.

use std::sync::Arc;

use kourou_broker::delivery::{PeekRequest, PopHold, PopRequest, PopStart, Waiter};
use kourou_broker::receive::InlineSubscription;
use kourou_broker::{Broker, Text};
use kourou_proto::remoting::request::{NotificationHeader, PeekMessageHeader, PollingInfoHeader};
use kourou_proto::remoting::response::{NotificationResponse, PollingInfoResponse, PopMessageResponse};
use kourou_proto::{Command, HeaderFields, ResponseCode};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Port, answer, hold_for};
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

pub(in super::super) fn peek(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let peek = match PeekMessageHeader::decode(request) {
        Ok(header) => PeekRequest {
            group: Text::from(header.consumer_group),
            topic: Text::from(header.topic),
            queue_id: header.queue_id,
            messages_max: header.max_msg_nums,
        },
        Err(error) => return Refusal::from(error).send(reply),
    };
    let broker = Arc::clone(&port.broker);
    // The messages may have left the memory.
    port.cold_reads.run(reply, move |reply| match broker.peek(&peek) {
        Ok(peeked) => {
            let fields = PopMessageResponse {
                pop_ms: 0,
                invisible_ms: 0,
                revive_qid: 0,
                rest_num: i64::try_from(peeked.rest).unwrap_or(i64::MAX),
                start_offset_info: None,
                msg_offset_info: None,
                order_count_info: None,
            };
            let (code, remark) = if peeked.records.is_empty() {
                (ResponseCode::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE")
            } else {
                (ResponseCode::SUCCESS, "FOUND")
            };
            let head = reply.command(code).with_fields(&fields).with_remark(remark);
            reply.send_records(head, peeked.records);
        }
        Err(error) => answer::refuse(&error, reply),
    });
}

pub(in super::super) fn polling_info(
    broker: &Arc<Broker>,
    request: &Command,
    success: Command,
) -> Result<Command, Refusal> {
    let header = PollingInfoHeader::decode(request)?;
    let waiting = broker
        .pops_waiting(
            &Text::from(header.consumer_group),
            &Text::from(header.topic),
            header.queue_id,
        )
        .map_err(|error| Refusal::of(error.response_code(), &error))?;
    let polling_num = i32::try_from(waiting).unwrap_or(i32::MAX);
    Ok(success.with_fields(&PollingInfoResponse { polling_num }))
}

pub(in super::super) fn notification(port: &Arc<Port>, request: &Command, mut reply: ReplyTo) {
    let header = match NotificationHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let wanted = PopRequest {
        group: Text::from(header.consumer_group),
        topic: Text::from(header.topic),
        queue_id: header.queue_id,
        messages_max: 1,
        invisible_ms: 0,
        start: PopStart::Min,
        subscription: InlineSubscription::default(),
        ordered: header.order,
        attempt_id: Text::from(header.attempt_id.unwrap_or_default()),
    };
    let has_msg = match port.broker.has_poppable(&wanted) {
        Ok(has_msg) => has_msg,
        Err(error) => return answer::refuse(&error, reply),
    };
    let hold_for =
        hold_for(port.broker.now_ms(), header.born_timestamp_ms, header.poll_ms).unwrap_or_default();
    if has_msg || hold_for.is_zero() {
        return tell(has_msg, false, reply);
    }
    if !reply.hold() {
        return tell(false, true, reply);
    }
    let port = Arc::clone(port);
    let deadline = Instant::now() + hold_for;
    tokio::spawn(async move { notify(&port, &wanted, deadline, reply).await });
}

async fn notify(port: &Arc<Port>, wanted: &PopRequest, deadline: Instant, reply: ReplyTo) {
    let connection = Arc::clone(reply.connection());
    let mut last = false;
    while !last {
        let woken = Arc::new(Notify::new());
        let wake = Arc::clone(&woken);
        let held = port
            .broker
            .hold_pop(wanted, Waiter::Notice, move || wake.notify_one());
        let guard = match held {
            Ok(PopHold::Held(guard)) => guard,
            Ok(PopHold::Full) => return tell(false, true, reply),
            Err(error) => return answer::refuse(&error, reply),
        };
        // From now on nothing is missed; what came before is there.
        if port.broker.has_poppable(wanted).unwrap_or(true) {
            return tell(true, false, reply);
        }
        tokio::select! {
            () = woken.notified() => {}
            () = connection.closed() => {
                drop(guard);
                return port.broker.pass_on(wanted);
            }
            () = sleep_until(deadline) => last = true,
        }
    }
    tell(port.broker.has_poppable(wanted).unwrap_or(true), false, reply);
}

fn tell(has_msg: bool, polling_full: bool, reply: ReplyTo) {
    let answer = reply
        .command(ResponseCode::SUCCESS)
        .with_fields(&NotificationResponse {
            has_msg,
            polling_full,
        });
    reply.send(answer);
}
