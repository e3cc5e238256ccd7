//! What a request asks for, and how long it may wait.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Text;
use kourou_broker::delivery::{PopRequest, PopStart};
use kourou_broker::receive::InlineSubscription;
use kourou_broker::topic::MessageType;
use tokio::time::Instant;
use tonic::Request;

use crate::caller::{Caller, patience, version};
use crate::clients::language_and_expression;
use crate::limits::{BATCH_MAX, POLL_MAX, POLL_MIN, receive};
use crate::message::positive;
use crate::names;
use crate::port::Port;
use crate::refusal::Refusal;
use crate::wire::v2::{Code, ReceiveMessageRequest, Resource};

/// Clients as old as this do not know that a polling time can be illegal.
const KNOWS_POLLING_TIMES: &str = "5.0.3";
/// What the way back takes of the time that the caller waits, where it does not say for how long to wait: half of what clients allow any
/// other request.
const WAY_BACK: Duration = Duration::from_millis(1_500);

/// What an answer takes to the client that waits for nothing else.
const ANSWER: Duration = Duration::from_millis(500);

/// One receive.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) pop: PopRequest,
    /// Of a receive of lite topics, the client whose they are.
    pub(super) lite_client: Option<Arc<str>>,
    /// The topic as the client names it.
    pub(super) topic: Resource,
    /// When to give up.
    pub(super) deadline: Instant,
    /// For whom the messages are renewed, if they are.
    pub(super) renewed_for: Option<Arc<str>>,
}

pub(super) fn parse(port: &Port, request: &Request<ReceiveMessageRequest>) -> Result<Ask, Refusal> {
    let caller = Caller::of(request)?;
    // It is there, whatever it asks for.
    port.clients.find(&caller);
    let asked = request.get_ref();
    let wait = polling_time(
        asked.long_polling_timeout.as_ref().and_then(positive),
        patience(request),
        version(request),
    )?;
    if asked.auto_renew && port.renewals.is_full(&caller.client_id) {
        return Err(Refusal::new(
            Code::TooManyRequests,
            "the client has as many messages as may be renewed for it; let it acknowledge some",
        ));
    }
    let topic = asked
        .message_queue
        .as_ref()
        .and_then(|queue| queue.topic.as_ref());
    let group = names::group(asked.group.as_ref())?;
    let (language, expression) = language_and_expression(asked.filter_expression.as_ref());
    if expression.trim().is_empty() {
        return Err(Refusal::new(
            Code::IllegalFilterExpression,
            "the filter expression is empty",
        ));
    }
    // Who consumes in order is the group's to say, not the client's.
    let ordered = port
        .broker
        .group(group)
        .is_some_and(|config| config.consume_message_orderly);
    let topic_name = names::topic(topic)?;
    let has_lites = port
        .broker
        .topic(topic_name)
        .is_some_and(|config| MessageType::of_topic(&config.attributes) == Some(MessageType::Lite));
    let pop = PopRequest {
        group: Text::from(group),
        topic: Text::from(topic_name),
        // Any: a queue's number in a request only says which broker is meant.
        queue_id: -1,
        messages_max: asked.batch_size.clamp(1, BATCH_MAX),
        invisible_ms: invisible_ms(asked, port.limits.renewed)?,
        start: PopStart::Max,
        subscription: InlineSubscription {
            expression: Text::from(expression),
            expression_type: Text::from(language),
        },
        ordered,
        attempt_id: Text::from(asked.attempt_id.as_deref().unwrap_or_default()),
    };
    Ok(Ask {
        pop,
        lite_client: has_lites.then(|| caller.client_id.as_str().into()),
        topic: topic.cloned().unwrap_or_default(),
        deadline: Instant::now() + wait,
        renewed_for: asked.auto_renew.then(|| caller.client_id.as_str().into()),
    })
}

/// For how long nobody else gets the messages. Of push consumers that is not theirs to say: it is renewed for as long as they are there.
fn invisible_ms(request: &ReceiveMessageRequest, renewed: Duration) -> Result<i64, Refusal> {
    let asked = request.invisible_duration.as_ref().and_then(positive);
    let invisible = match asked {
        _ if request.auto_renew => renewed,
        Some(asked) if (receive::INVISIBLE_MIN..=receive::INVISIBLE_MAX).contains(&asked) => asked,
        _ => {
            return Err(Refusal::new(
                Code::IllegalInvisibleTime,
                format!(
                    "the invisible duration must be from {} s to {} s",
                    receive::INVISIBLE_MIN.as_secs(),
                    receive::INVISIBLE_MAX.as_secs()
                ),
            ));
        }
    };
    Ok(i64::try_from(invisible.as_millis()).unwrap_or(i64::MAX))
}

/// How long to wait for messages: what is asked for, within bounds and within the time that the caller waits.
fn polling_time(
    asked: Option<Duration>,
    waits: Option<Duration>,
    version: &str,
) -> Result<Duration, Refusal> {
    let wanted = match (asked, waits) {
        (Some(asked), _) => asked,
        (None, Some(waits)) => waits.saturating_sub(WAY_BACK),
        (None, None) => POLL_MAX,
    };
    let wanted = wanted.clamp(POLL_MIN, POLL_MAX);
    match waits {
        Some(waits) if wanted > waits && waits < POLL_MIN => {
            let code = if version < KNOWS_POLLING_TIMES {
                Code::BadRequest
            } else {
                Code::IllegalPollingTime
            };
            Err(Refusal::new(
                code,
                format!(
                    "the request ends in {} ms, which is no time to wait for messages: allow {} ms at least",
                    waits.as_millis(),
                    POLL_MIN.as_millis()
                ),
            ))
        }
        // So that the answer is there before nobody waits for it.
        Some(waits) => Ok(wanted.min(waits.saturating_sub(ANSWER))),
        None => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_wait() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let time = |asked, waits, version| {
            polling_time(asked, waits, version)
                .map(|time| time.as_secs_f32())
                .map_err(|refusal| refusal.code)
        };
        assert_eq!(time(seconds(15), seconds(18), "5.1.0"), Ok(15.0));
        assert_eq!(
            time(seconds(1), seconds(18), "5.1.0"),
            Ok(5.0),
            "no shorter than that"
        );
        assert_eq!(
            time(seconds(60), seconds(70), "5.1.0"),
            Ok(20.0),
            "no longer than that"
        );
        assert_eq!(
            time(seconds(20), seconds(6), "5.1.0"),
            Ok(5.5),
            "nobody waits for longer"
        );
        assert_eq!(time(None, seconds(10), "5.1.0"), Ok(8.5));
        assert_eq!(time(None, None, ""), Ok(20.0));
        assert_eq!(
            time(seconds(20), seconds(3), "5.0.3"),
            Err(Code::IllegalPollingTime)
        );
        assert_eq!(time(None, seconds(3), "5.0.2"), Err(Code::BadRequest));
    }

    #[test]
    fn how_long_to_keep_it() {
        let asked = |auto_renew, seconds: Option<i64>| {
            let request = ReceiveMessageRequest {
                auto_renew,
                invisible_duration: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
                ..ReceiveMessageRequest::default()
            };
            invisible_ms(&request, Duration::from_secs(60)).map_err(|refusal| refusal.code)
        };
        assert_eq!(asked(true, Some(10)), Ok(60_000));
        assert_eq!(asked(true, None), Ok(60_000));
        assert_eq!(asked(false, Some(10)), Ok(10_000));
        assert_eq!(asked(false, Some(12 * 3_600)), Ok(43_200_000));
        for bad in [None, Some(-1), Some(9), Some(12 * 3_600 + 1), Some(i64::MAX)] {
            assert_eq!(asked(false, bad), Err(Code::IllegalInvisibleTime), "{bad:?}");
        }
    }
}
