//! Producers' decisions on transactions.

use std::borrow::Cow;
use std::sync::Arc;

use kourou_broker::transaction::{Decision, EndTransaction, TransactionError};
use kourou_proto::remoting::request::{EndTransactionHeader, transaction_end};
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
