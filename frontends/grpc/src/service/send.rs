//! Sends.

use std::borrow::Cow;

use kourou_broker::send::{SendDone, SendError, SendReceipt, SendRequest, Sending};
use kourou_broker::topic::{TopicConfig, perm};
use tokio::sync::oneshot;
use tonic::Request;

use super::common;
use crate::caller::Caller;
use crate::message::{Draft, TransactionId, check_type, draft};
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::settle::Settle;
use crate::wire::v2::{Code, Message, MessageType, SendMessageRequest, SendMessageResponse, SendResultEntry};

/// Where the outcome of a send goes.
struct Told(Option<oneshot::Sender<Result<SendReceipt, SendError>>>);

impl SendDone for Told {
    fn sent(mut sending: Box<Sending<Self>>, outcome: Result<(), SendError>) {
        if let Some(told) = sending.done.0.take() {
            // Nobody waits any more if the client has given up; the message is sent all the same.
            let _ = told.send(outcome.map(|()| sending.receipt().clone()));
        }
    }
}

/// Stores messages and answers once they are durable. A request is refused as a whole before any of its messages is stored; after
/// that each has an outcome of its own.
pub(super) async fn send(
    port: &Port,
    caller: &Caller,
    request: Request<SendMessageRequest>,
) -> Result<SendMessageResponse, Refusal> {
    // The extensions stay until the end: what the request takes is given back with them.
    let (_, extensions, request) = request.into_parts();
    let messages = request.messages;
    let first = messages
        .first()
        .ok_or_else(|| Refusal::new(Code::MessageCorrupted, "there is no message to send"))?;
    let topic_name = names::topic(first.topic.as_ref())?.to_owned();
    check_count(&messages, &topic_name, port.limits.messages_per_send_max)?;
    let topic = port
        .broker
        .topic(&topic_name)
        .ok_or_else(|| Refusal::topic_not_found(&topic_name))?;
    let now_ms = port.broker.now_ms();
    let drafts = messages
        .into_iter()
        .map(|message| draft(message, &port.broker.options().limits, now_ms))
        .collect::<Result<Vec<Draft>, Refusal>>()?;
    for draft in &drafts {
        check_type(&topic, draft.kind)?;
    }
    if topic.write_queues == 0 || !perm::is_writable(topic.perm) {
        return Err(Refusal::new(
            Code::Forbidden,
            format!("the topic {topic_name} has no queue that can be written"),
        ));
    }

    let settle = extensions.get::<Settle>();
    let sends: Vec<_> = drafts
        .into_iter()
        .map(|draft| begin(port, caller, &topic, draft, settle))
        .collect();
    let mut entries = Vec::with_capacity(sends.len());
    for sent in sends {
        entries.push(sent.entry().await);
    }
    Ok(SendMessageResponse {
        status: Some(common(entries.iter().map(|entry| entry.status.as_ref()))),
        entries,
    })
}

fn check_count(messages: &[Message], topic: &str, messages_max: usize) -> Result<(), Refusal> {
    if messages.len() > messages_max {
        return Err(Refusal::new(
            Code::BadRequest,
            format!(
                "{} messages at once, at most {messages_max} are taken",
                messages.len()
            ),
        ));
    }
    let is_same = |message: &Message| {
        message
            .topic
            .as_ref()
            .is_some_and(|resource| resource.name == topic)
    };
    if !messages.iter().all(is_same) {
        return Err(Refusal::new(
            Code::MessageCorrupted,
            "the messages of one request must be of one topic",
        ));
    }
    Ok(())
}

/// A message on its way.
struct Sent {
    message_id: String,
    kind: MessageType,
    outcome: oneshot::Receiver<Result<SendReceipt, SendError>>,
}

fn begin(port: &Port, caller: &Caller, topic: &TopicConfig, draft: Draft, settle: Option<&Settle>) -> Sent {
    let (told, outcome) = oneshot::channel();
    let queue_id = match &draft.message_group {
        Some(group) => ordered_queue(group, topic.write_queues),
        None => -1,
    };
    let request = SendRequest {
        // Those that produce to a topic answer for each other's transactions.
        producer_group: Cow::Borrowed(&*topic.name),
        topic: Cow::Borrowed(&*topic.name),
        // The topic is there.
        default_topic: Cow::Borrowed(""),
        default_topic_queues: 0,
        queue_id,
        sys_flag: draft.sys_flag,
        born_ms: draft.born_ms,
        born_host: caller.peer,
        flag: 0,
        properties: Cow::Borrowed(draft.properties.as_bytes()),
        reconsume_times: 0,
        unit_mode: false,
        reconsume_times_max: None,
        is_batch: false,
        body: draft.body,
    };
    let sending = Sending::new(Told(Some(told)));
    match settle {
        Some(settle) => {
            port.broker.queue_send(request, sending);
            settle.soon();
        }
        None => port.broker.send_with(request, sending),
    }
    Sent {
        message_id: draft.message_id,
        kind: draft.kind,
        outcome,
    }
}

impl Sent {
    async fn entry(self) -> SendResultEntry {
        let refused = |refusal: Refusal| SendResultEntry {
            status: Some(refusal.into()),
            ..SendResultEntry::default()
        };
        let receipt = match self.outcome.await {
            Ok(Ok(receipt)) => receipt,
            Ok(Err(error)) => return refused(error.into()),
            Err(_) => return refused(Refusal::new(Code::InternalServerError, "the broker has stopped")),
        };
        let transaction_id = if self.kind == MessageType::Transaction {
            let place = TransactionId {
                position: receipt.position,
                queue_offset: receipt.queue_offset,
            };
            place.to_string()
        } else {
            receipt.transaction_id
        };
        SendResultEntry {
            status: Some(ok()),
            message_id: self.message_id,
            transaction_id,
            offset: i64::try_from(receipt.queue_offset).unwrap_or(i64::MAX),
            recall_handle: receipt.recall_handle,
        }
    }
}

/// The queue of a message group. Always the same one for as long as the topic has as many queues, and, when it gets more, for most
/// groups still: jump hashing, over the hash that Java gives the group, as Apache's proxy does it.
fn ordered_queue(message_group: &str, queues: u32) -> i32 {
    let hash = message_group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    let queues = i32::try_from(queues).unwrap_or(i32::MAX);
    let mut state = i64::from(hash) as u64;
    let mut candidate = 0_i32;
    loop {
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let fraction = f64::from((state >> 33) as i32 + 1) / f64::from(1_u32 << 31);
        // Saturates where it is beyond every queue.
        let next = (f64::from(candidate + 1) / fraction) as i32;
        if (0..queues).contains(&next) {
            candidate = next;
        } else {
            return candidate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_group_keeps_its_queue() {
        for group in ["", "a", "order-1", "\u{8ba2}\u{5355}"] {
            let queue = ordered_queue(group, 8);
            assert!((0..8).contains(&queue));
            assert_eq!(ordered_queue(group, 8), queue);
            assert_eq!(ordered_queue(group, 1), 0);
            // With one more queue a group stays or goes to the new one.
            let after = ordered_queue(group, 9);
            assert!(after == queue || after == 8);
        }
        let used: std::collections::BTreeSet<i32> =
            (0..100).map(|at| ordered_queue(&format!("g{at}"), 8)).collect();
        assert_eq!(used.len(), 8);
    }
}
