//! Sends, single and batch.

use std::borrow::Cow;
use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::send::{SendDone, SendError, SendRequest, Sending};
use kourou_proto::remoting::request::SendMessageHeader;
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, FieldError, HeaderFields, RequestCode, ResponseCode};
use tokio::sync::Notify;

use crate::connection::{Outgoing, ReplyHead, ReplyTo};
use crate::refusal::Refusal;

/// Finished sends of one connection whose memory is kept for its next ones.
const KEPT_SENDS_MAX: usize = 256;

/// A send, from its request to its answer: it goes through broker and engine and comes back to the connection's task, which
/// makes it an answer.
pub(crate) type Sent = Sending<Answer>;

/// What the answer of a send needs beside the receipt.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Until the send is done.
    reply: Option<ReplyTo>,
    head: ReplyHead,
    outcome: Result<(), SendError>,
    /// Memory for the message id.
    msg_id: String,
}

impl SendDone for Answer {
    /// Runs on the engine's thread, which has other messages to see to: only hands over.
    fn sent(mut sending: Box<Sent>, outcome: Result<(), SendError>) {
        sending.done.outcome = outcome;
        if let Some(reply) = sending.done.reply.take() {
            reply.finish(|| Outgoing::Sent(sending));
        }
    }
}

/// The memory of finished sends.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
pub(super) struct Finished(Vec<Box<Sent>>);

impl Finished {
    pub(super) fn keep(&mut self, sent: Box<Sent>) {
        if self.0.len() < KEPT_SENDS_MAX {
            self.0.push(sent);
        }
    }

    /// Gives all of it back.
    pub(super) fn shrink(&mut self) {
        self.0 = Vec::new();
    }

    fn take(&mut self, reply: ReplyTo) -> Box<Sent> {
        let head = reply.head();
        match self.0.pop() {
            Some(mut sent) => {
                sent.done.head = head;
                sent.done.reply = Some(reply);
                sent
            }
            None => Sending::new(Answer {
                reply: Some(reply),
                head,
                outcome: Ok(()),
                msg_id: String::new(),
            }),
        }
    }
}

pub(super) fn send(
    broker: &Arc<Broker>,
    request: &Command,
    reply: ReplyTo,
    finished: &mut Finished,
    settle: Option<&Notify>,
) {
    match (parse(request, &reply), settle) {
        (Ok(parsed), Some(settle)) => {
            broker.queue_send(parsed, finished.take(reply));
            settle.notify_one();
        }
        (Ok(parsed), None) => broker.send_with(parsed, finished.take(reply)),
        (Err(error), _) => Refusal::from(error).send(reply),
    }
}

pub(super) fn parse<'a>(request: &'a Command, reply: &ReplyTo) -> Result<SendRequest<'a>, FieldError> {
    let header = SendMessageHeader::decode(request)?;
    Ok(SendRequest {
        producer_group: Cow::Borrowed(header.producer_group),
        topic: Cow::Borrowed(header.topic),
        default_topic: Cow::Borrowed(header.default_topic),
        default_topic_queues: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_ms: header.born_timestamp_ms,
        born_host: reply.connection().peer(),
        flag: header.flag,
        properties: Cow::Borrowed(header.properties.as_bytes()),
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        reconsume_times_max: header.max_reconsume_times,
        is_batch: header.batch || request.code() == RequestCode::SEND_BATCH_MESSAGE,
        body: request.body.clone(),
    })
}

/// Makes `answer` the answer to a send.
pub(crate) fn write_answer(sent: &mut Sent, answer: &mut Command) {
    let mut msg_id = std::mem::take(&mut sent.done.msg_id);
    let Answer { head, outcome, .. } = &sent.done;
    match outcome {
        Ok(()) => {
            let receipt = sent.receipt();
            msg_id.clear();
            receipt.push_offset_msg_id(&mut msg_id);
            let transaction_id = Some(receipt.transaction_id.as_str()).filter(|id| !id.is_empty());
            head.write(ResponseCode::SUCCESS, answer);
            SendMessageResponse {
                msg_id: &msg_id,
                queue_id: i32::try_from(receipt.queue_id).unwrap_or(i32::MAX),
                queue_offset: i64::try_from(receipt.queue_offset).unwrap_or(i64::MAX),
                transaction_id,
                batch_uniq_id: transaction_id.filter(|_| receipt.is_inner_batch),
                recall_handle: Some(receipt.recall_handle.as_str()).filter(|handle| !handle.is_empty()),
                region_id: Some(&receipt.region),
                trace_on: Some(receipt.trace_on),
            }
            .write_fields(&mut answer.header.fields);
        }
        Err(error) => {
            head.write(ResponseCode::new(error.response_code()), answer);
            answer.header.remark = Some(error.to_string().into());
        }
    }
    sent.done.msg_id = msg_id;
}
