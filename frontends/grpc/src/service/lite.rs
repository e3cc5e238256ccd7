//! What clients say of the lite topics that they subscribe to.

use kourou_broker::Text;
use kourou_broker::lite::{LiteOffset, SyncAction, SyncRequest};
use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::offset_option::{OffsetType, Policy};
use crate::wire::v2::{
    Code, LiteSubscriptionAction, OffsetOption, SyncLiteSubscriptionRequest, SyncLiteSubscriptionResponse,
};

/// Takes in what a client says, and answers once that is durable.
pub(super) async fn sync(
    port: &Port,
    caller: &Caller,
    request: SyncLiteSubscriptionRequest,
) -> Result<SyncLiteSubscriptionResponse, Refusal> {
    let action = match request.action() {
        LiteSubscriptionAction::PartialAdd => SyncAction::Add,
        LiteSubscriptionAction::PartialRemove => SyncAction::Remove,
        LiteSubscriptionAction::CompleteAdd => SyncAction::All,
        LiteSubscriptionAction::CompleteRemove => SyncAction::None,
    };
    let sync = SyncRequest {
        group: Text::from(names::group(request.group.as_ref())?),
        topic: Text::from(names::topic(request.topic.as_ref())?),
        client_id: Text::from(caller.client_id.as_str()),
        action,
        lite_topics: request.lite_topic_set,
        offset: offset(request.offset_option.as_ref()),
    };
    // It is there, whatever it says.
    port.clients.find(caller);
    let (told, outcome) = oneshot::channel();
    port.broker.sync_lite(&sync, move |synced| {
        // Nobody waits any more if the client has given up; what it said counts all the same.
        let _ = told.send(synced);
    });
    let stopped = |_| Refusal::new(Code::InternalServerError, "the broker has stopped");
    outcome.await.map_err(stopped)??;
    Ok(SyncLiteSubscriptionResponse { status: Some(ok()) })
}

fn offset(option: Option<&OffsetOption>) -> LiteOffset {
    match option.and_then(|option| option.offset_type.as_ref()) {
        None => LiteOffset::Last,
        Some(OffsetType::Policy(policy)) => match Policy::try_from(*policy) {
            Ok(Policy::Min) => LiteOffset::Min,
            Ok(Policy::Max) => LiteOffset::Max,
            Ok(Policy::Last) | Err(_) => LiteOffset::Last,
        },
        Some(OffsetType::Offset(offset)) => LiteOffset::At(*offset),
        Some(OffsetType::TailN(count)) => LiteOffset::Tail(*count),
        Some(OffsetType::Timestamp(store_ms)) => LiteOffset::Time(*store_ms),
    }
}
