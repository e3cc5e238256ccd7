//! Producers' decisions on transactions, and administrators' on those that nobody decided.

use std::borrow::Cow;
use std::sync::Arc;

use kourou_broker::transaction::{Decision, EndTransaction, Resumed, TransactionError};
use kourou_proto::remoting::request::{EndTransactionHeader, ResumeCheckHalfMessageHeader, transaction_end};
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Port;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

pub(super) fn end(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let header = match EndTransactionHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let decision = match header.commit_or_rollback {
        transaction_end::COMMIT => Decision::Commit,
        transaction_end::ROLLBACK => Decision::Rollback,
        // A producer that does not know yet is asked again, and answered nothing.
        _ => return,
    };
    let end = EndTransaction {
        group: Cow::Borrowed(header.producer_group),
        position: header.position,
        queue_offset: header.queue_offset,
        decision,
        from_check: header.from_transaction_check,
    };
    let broker = Arc::clone(&port.broker);
    if broker.end_may_block(&end) {
        let end = end.into_owned();
        port.cold_reads
            .run(reply, move |reply| broker.end_transaction(&end, answer(reply)));
    } else {
        broker.end_transaction(&end, answer(reply));
    }
}

/// RESUME_CHECK_HALF_MESSAGE (323).
pub(super) fn resume(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let msg_id = match ResumeCheckHalfMessageHeader::decode(request) {
        Ok(header) => header.msg_id.unwrap_or_default().to_owned(),
        Err(error) => return Refusal::from(error).send(reply),
    };
    let Some(position) = position_in(&msg_id) else {
        let shown: String = msg_id.chars().take(100).collect();
        let why = format!(
            "msgId {shown:?} is no offset id: address, port and position of a message, in hexadecimal digits"
        );
        return Refusal::new(ResponseCode::SYSTEM_ERROR, why).send(reply);
    };
    let broker = Arc::clone(&port.broker);
    port.cold_reads.run(reply, move |reply| {
        broker.resume_transaction(position, move |resumed| match resumed {
            Ok(resumed) => {
                let mut answer = reply.command(ResponseCode::SUCCESS);
                if resumed == Resumed::Before {
                    answer = answer.with_remark("it was resumed before");
                }
                reply.send(answer);
            }
            Err(error) => Refusal::of(error.response_code(), &error).send(reply),
        });
    });
}

/// The position that an offset id ends with, behind an address and a port.
fn position_in(offset_id: &str) -> Option<u64> {
    let is_one = matches!(offset_id.len(), 32 | 56) && offset_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = offset_id.get(offset_id.len().checked_sub(16)?..)?;
    u64::from_str_radix(digits, 16).ok().filter(|_| is_one)
}

fn answer(reply: ReplyTo) -> impl FnOnce(Result<(), TransactionError>) + Send {
    move |ended| match ended {
        Ok(()) => {
            let answer = reply.command(ResponseCode::SUCCESS);
            reply.send(answer);
        }
        Err(error) => {
            // Most producers do not wait for an answer; they are asked later.
            tracing::debug!(peer = %reply.connection().peer(), %error, "a decision on a transaction was refused");
            Refusal::of(error.response_code(), &error).send(reply);
        }
    }
}
