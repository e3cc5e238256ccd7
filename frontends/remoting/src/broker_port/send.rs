//! Sends, single and batch.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::send::{SendError, SendReceipt, SendRequest};
use kourou_proto::remoting::request::SendMessageHeader;
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, FieldError, HeaderFields, RequestCode, ResponseCode};

use crate::connection::{Outgoing, ReplyHead, ReplyTo};
use crate::refusal::Refusal;
use crate::text::{share, text};

pub(super) fn send(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    match parse(request, &reply) {
        // Runs on the engine's thread, which has other messages to see to: only hand over.
        Ok(parsed) => broker.send(parsed, move |result| {
            let head = reply.head();
            reply.finish(|| Outgoing::Sent(Sent { head, result }));
        }),
        Err(error) => Refusal::from(error).send(reply),
    }
}

fn parse(request: &Command, reply: &ReplyTo) -> Result<SendRequest, FieldError> {
    let header = SendMessageHeader::decode(request)?;
    let [producer_group, topic, default_topic, properties] = share([
        header.producer_group,
        header.topic,
        header.default_topic,
        header.properties,
    ]);
    Ok(SendRequest {
        producer_group: text(producer_group),
        topic: text(topic),
        default_topic: text(default_topic),
        default_topic_queues: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_ms: header.born_timestamp_ms,
        born_host: reply.connection().peer(),
        flag: header.flag,
        properties,
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        reconsume_times_max: header.max_reconsume_times,
        is_batch: header.batch || request.code() == RequestCode::SEND_BATCH_MESSAGE,
        body: request.body.clone(),
    })
}

/// The outcome of a send on its way to the connection's task, which turns it into an answer.
#[derive(Debug)]
pub(crate) struct Sent {
    head: ReplyHead,
    result: Result<SendReceipt, SendError>,
}

impl Sent {
    pub(crate) fn into_command(self) -> Command {
        let receipt = match self.result {
            Ok(receipt) => receipt,
            Err(error) => {
                let code = ResponseCode::new(error.response_code());
                return self.head.command(code).with_remark(error.to_string());
            }
        };
        self.head
            .command(ResponseCode::SUCCESS)
            .with_fields(&SendMessageResponse {
                msg_id: &receipt.offset_msg_id(),
                queue_id: i32::try_from(receipt.queue_id).unwrap_or(i32::MAX),
                queue_offset: i64::try_from(receipt.queue_offset).unwrap_or(i64::MAX),
                transaction_id: receipt.transaction_id.as_deref(),
                batch_uniq_id: None,
                recall_handle: None,
                region_id: Some(&receipt.region),
                trace_on: Some(receipt.trace_on),
            })
    }
}
