//! Replies to messages.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::reply::ReplyReceipt;
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::send;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// SEND_REPLY_MESSAGE (324) and its form with short names (325).
pub(super) fn reply(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let parsed = match send::parse(request, &reply) {
        Ok(parsed) => parsed,
        Err(error) => return Refusal::from(error).send(reply),
    };
    broker.reply(parsed, move |replied| match replied {
        Ok(receipt) => answer(&receipt, reply),
        Err(error) => Refusal::of(error.response_code(), &error).send(reply),
    });
}

/// The place is where the reply is stored; without one it is what clients read without stumbling.
fn answer(receipt: &ReplyReceipt, reply: ReplyTo) {
    let (code, remark) = match &receipt.pushed {
        Ok(()) => (ResponseCode::SUCCESS, None),
        Err(remark) => (ResponseCode::SYSTEM_ERROR, Some(remark.clone())),
    };
    let mut answer = reply.command(code);
    answer.header.remark = remark.map(Into::into);
    let msg_id = receipt.stored.as_ref().map(|stored| stored.offset_msg_id());
    let queue_offset = receipt.stored.as_ref().map_or(0, |stored| stored.queue_offset);
    SendMessageResponse {
        msg_id: msg_id.as_deref().unwrap_or("0"),
        queue_id: i32::try_from(receipt.queue_id).unwrap_or(i32::MAX),
        queue_offset: i64::try_from(queue_offset).unwrap_or(i64::MAX),
        transaction_id: None,
        batch_uniq_id: None,
        recall_handle: None,
        region_id: Some(&receipt.region),
        trace_on: Some(receipt.trace_on),
    }
    .write_fields(&mut answer.header.fields);
    reply.send(answer);
}
