//! Producers' decisions on transactions.

use std::borrow::Cow;

use kourou_broker::transaction::{Decision, EndTransaction};
use tokio::sync::oneshot;

use crate::message::TransactionId;
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{
    Code, EndTransactionRequest, EndTransactionResponse, TransactionResolution, TransactionSource,
};

/// Ends a transaction, and answers once that is durable. A producer that does not know yet is asked again.
pub(super) async fn end(
    port: &Port,
    request: &EndTransactionRequest,
) -> Result<EndTransactionResponse, Refusal> {
    let topic = names::topic(request.topic.as_ref())?;
    let id: TransactionId = request.transaction_id.parse().map_err(|()| {
        Refusal::new(
            Code::InvalidTransactionId,
            "the transaction id is not one that a send was answered with",
        )
    })?;
    let decision = match request.resolution() {
        TransactionResolution::Commit => Decision::Commit,
        TransactionResolution::Rollback => Decision::Rollback,
        TransactionResolution::Unspecified => return Ok(EndTransactionResponse { status: Some(ok()) }),
    };
    let out_of_range = |_| Refusal::new(Code::InvalidTransactionId, "the transaction id is beyond any log");
    let end = EndTransaction {
        group: Cow::Owned(topic.to_owned()),
        position: i64::try_from(id.position).map_err(out_of_range)?,
        queue_offset: i64::try_from(id.queue_offset).map_err(out_of_range)?,
        decision,
        from_check: request.source() == TransactionSource::SourceServerCheck,
    };
    let (told, outcome) = oneshot::channel();
    let done = move |ended| {
        // Nobody waits any more if the client has given up.
        let _ = told.send(ended);
    };
    if port.broker.end_may_block(&end) {
        let broker = port.broker.clone();
        port.blocking(move || broker.end_transaction(&end, done)).await?;
    } else {
        port.broker.end_transaction(&end, done);
    }
    match outcome.await {
        Ok(Ok(())) => Ok(EndTransactionResponse { status: Some(ok()) }),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Refusal::new(Code::InternalServerError, "the broker has stopped")),
    }
}
