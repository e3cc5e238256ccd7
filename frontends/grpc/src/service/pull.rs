//! Pulls: a consumer that keeps account itself asks for what lies from an offset on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kourou_broker::Text;
use kourou_broker::receive::{
    Empty, HoldResult, InlineSubscription, PullOutcome, PullRequest, PullStatus, Pulled,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Status};

use super::offsets::queue;
use crate::caller::{Caller, patience};
use crate::clients::language_and_expression;
use crate::limits::{BATCH_MAX, POLL_MAX};
use crate::message::{delivered, positive};
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{Code, PullMessageRequest, PullMessageResponse, pull_message_response::Content};

/// Of the time that the caller waits, what the way back may take.
const WAY_BACK: Duration = Duration::from_millis(500);

/// Answers on their way; the task that makes them ends with this.
struct Parts {
    parts: mpsc::Receiver<PullMessageResponse>,
}

impl Stream for Parts {
    type Item = Result<PullMessageResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.parts.poll_recv(context).map(|part| part.map(Ok))
    }
}

/// Status, messages, and where to go on; of an error, the status alone.
pub(super) fn pull(port: &Arc<Port>, request: Request<PullMessageRequest>) -> BoxStream<PullMessageResponse> {
    let (parts, stream) = mpsc::channel(1);
    let port = Arc::clone(port);
    tokio::spawn(async move {
        let pulled = tokio::select! {
            pulled = run(&port, &request) => pulled,
            () = parts.closed() => return,
        };
        let contents = pulled.unwrap_or_else(|refusal| vec![Content::Status(refusal.into())]);
        for content in contents {
            let part = PullMessageResponse {
                content: Some(content),
            };
            if parts.send(part).await.is_err() {
                return;
            }
        }
    });
    Box::pin(Parts { parts: stream })
}

async fn run(port: &Arc<Port>, request: &Request<PullMessageRequest>) -> Result<Vec<Content>, Refusal> {
    Caller::of(request)?;
    let pull = parse(port, request.get_ref())?;
    let asked = request.get_ref().long_polling_timeout.as_ref().and_then(positive);
    let waits = patience(request).map_or(POLL_MAX, |waits| waits.saturating_sub(WAY_BACK));
    let deadline = Instant::now() + asked.unwrap_or_default().min(waits).min(POLL_MAX);
    match wait(port, &pull, deadline).await? {
        Outcome::Found(found) => contents(&found),
        Outcome::Empty(empty) => Ok(nothing(&pull, &empty)),
    }
}

fn parse(port: &Port, request: &PullMessageRequest) -> Result<PullRequest, Refusal> {
    let group = names::group(request.group.as_ref())?;
    let (topic, queue_id) = queue(port, request.message_queue.as_ref())?;
    if request.offset < 0 {
        return Err(Refusal::new(
            Code::IllegalOffset,
            format!("{} is no offset", request.offset),
        ));
    }
    let (language, expression) = language_and_expression(request.filter_expression.as_ref());
    Ok(PullRequest {
        group: Text::from(group),
        topic: Text::from(topic),
        queue_id: i32::try_from(queue_id).unwrap_or(i32::MAX),
        offset: request.offset,
        messages_max: request.batch_size.clamp(1, BATCH_MAX),
        commit_offset: None,
        subscription: Some(InlineSubscription {
            expression: Text::from(expression),
            expression_type: Text::from(language),
        }),
        sub_version: 0,
    })
}

enum Outcome {
    Found(Pulled),
    Empty(Empty),
}

/// Pulls, and again when something has arrived, until there is something or the time is up.
async fn wait(port: &Arc<Port>, pull: &PullRequest, deadline: Instant) -> Result<Outcome, Refusal> {
    let mut last = false;
    loop {
        let outcome = match port.broker.pull(pull)? {
            PullOutcome::Cold(cold) => port.blocking(move || cold.load()).await??,
            outcome => outcome,
        };
        let empty = match outcome {
            PullOutcome::Found(found) => return Ok(Outcome::Found(found)),
            PullOutcome::Empty(empty) => empty,
            PullOutcome::Cold(_) => {
                // It was loaded, but for what a later pull reads.
                tokio::task::consume_budget().await;
                continue;
            }
        };
        if last || !empty.may_hold() || Instant::now() >= deadline {
            return Ok(Outcome::Empty(empty));
        }
        let arrived = Arc::new(Notify::new());
        let wake = Arc::clone(&arrived);
        match port
            .broker
            .hold(pull, empty.place.next_offset, move || wake.notify_one())
        {
            HoldResult::Held(guard) => {
                tokio::select! {
                    () = arrived.notified() => {}
                    () = port.shutdown.cancelled() => last = true,
                    () = tokio::time::sleep_until(deadline) => last = true,
                }
                drop(guard);
            }
            HoldResult::AlreadyArrived => {}
            HoldResult::Full => last = true,
        }
    }
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn contents(found: &Pulled) -> Result<Vec<Content>, Refusal> {
    let mut contents = Vec::with_capacity(found.records.len() + 2);
    contents.push(Content::Status(ok()));
    for record in &found.records {
        let message = delivered(record)
            .map_err(|error| Refusal::new(Code::InternalServerError, format!("a stored message: {error}")))?;
        contents.push(Content::Message(message));
    }
    contents.push(Content::NextOffset(signed(found.place.next_offset)));
    Ok(contents)
}

fn nothing(pull: &PullRequest, empty: &Empty) -> Vec<Content> {
    let (code, next_offset) = match empty.status {
        PullStatus::OffsetTooSmall | PullStatus::OffsetOverflowBadly => {
            (Code::IllegalOffset, empty.place.next_offset)
        }
        PullStatus::NoMatchedMessage => (Code::MessageNotFound, empty.place.next_offset),
        _ => (Code::MessageNotFound, u64::try_from(pull.offset).unwrap_or(0)),
    };
    let status = Refusal::new(code, empty.status.name());
    vec![
        Content::Status(status.into()),
        Content::NextOffset(signed(next_offset)),
    ]
}
