//! Popping: messages handed out for a time, acknowledged one by one; and those who wait for them.

mod answer;
mod end;
mod handle;
mod look;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Text;
use kourou_broker::delivery::{PopRequest, PopStart, PopStep, Reading};
use kourou_broker::receive::InlineSubscription;
use kourou_proto::remoting::request::{PopMessageHeader, pop_init};
use kourou_proto::{Command, HeaderFields};
use tokio::runtime::Handle as Runtime;
use tokio::time::Instant;

pub(super) use end::{ack, batch_ack, change_invisible};
pub(super) use look::{notification, peek, polling_info};

use super::Port;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// A pop that waits for longer would outlast its connection's idle time.
const HOLD_MAX: Duration = Duration::from_secs(110);
/// A request that comes so long after its client has given up on it is not served.
const LATE_MS: i64 = 500;

/// A pop that has not been answered.
struct Waiting {
    request: PopRequest,
    /// `None` if it is not to be held.
    deadline: Option<Instant>,
    reply: ReplyTo,
    /// Where it waits: its messages are handed out on the log's thread, which knows no runtime.
    runtime: Runtime,
}

/// A pop that found nothing.
struct Nothing {
    waiting: Waiting,
    rest: u64,
    /// Whether to look on at once.
    again: bool,
}

pub(super) fn pop(port: &Arc<Port>, command: &Command, reply: ReplyTo) {
    let header = match PopMessageHeader::decode(command) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let request = PopRequest {
        group: Text::from(header.consumer_group),
        topic: Text::from(header.topic),
        queue_id: header.queue_id,
        messages_max: header.max_msg_nums,
        invisible_ms: header.invisible_ms,
        start: if header.init_mode == pop_init::MAX {
            PopStart::Max
        } else {
            PopStart::Min
        },
        subscription: InlineSubscription {
            expression: Text::from(header.expression.unwrap_or_default()),
            expression_type: Text::from(header.expression_type.unwrap_or_default()),
        },
        ordered: header.order,
        attempt_id: Text::from(header.attempt_id.unwrap_or_default()),
    };
    let now_ms = port.broker.now_ms();
    let Some(hold_for) = hold_for(now_ms, header.born_timestamp_ms, header.poll_ms) else {
        return answer::too_late(port, &request, reply);
    };
    let waiting = Waiting {
        request,
        deadline: (!hold_for.is_zero()).then(|| Instant::now() + hold_for),
        reply,
        runtime: Runtime::current(),
    };
    if let Some(nothing) = go(port, waiting, Reading::Memory) {
        wait::hold(port, nothing);
    }
}

/// For how long a request may be held; `None` if its client has given up on it.
fn hold_for(now_ms: i64, born_ms: i64, poll_ms: i64) -> Option<Duration> {
    let poll_ms = poll_ms.max(0);
    let born_ms = if born_ms == 0 { now_ms } else { born_ms };
    let left_ms = born_ms.saturating_add(poll_ms).saturating_sub(now_ms);
    if left_ms < -LATE_MS {
        return None;
    }
    // A client whose clock is ahead waits no longer than it says.
    let left_ms = u64::try_from(left_ms.min(poll_ms)).unwrap_or(0);
    Some(Duration::from_millis(left_ms).min(HOLD_MAX))
}

/// Pops. What is found is answered when it is durable that it is out; finding nothing is for the caller to deal with.
fn go(port: &Arc<Port>, waiting: Waiting, reading: Reading) -> Option<Nothing> {
    match port.broker.begin_pop(&waiting.request, reading) {
        Ok(PopStep::Taken(taken)) => {
            let port = Arc::clone(port);
            taken.store(move |stored| match stored {
                Ok(popped) if popped.queues.is_empty() => wait::hold(
                    &port,
                    Nothing {
                        waiting,
                        rest: popped.rest,
                        again: true,
                    },
                ),
                Ok(popped) => answer::found(&port, &waiting.request, &popped, waiting.reply),
                Err(error) => answer::refuse(&error, waiting.reply),
            });
            None
        }
        Ok(PopStep::Cold) => {
            let Waiting {
                request,
                deadline,
                reply,
                runtime,
            } = waiting;
            let again = Arc::clone(port);
            port.cold_reads.run(reply, move |reply| {
                let waiting = Waiting {
                    request,
                    deadline,
                    reply,
                    runtime,
                };
                if let Some(nothing) = go(&again, waiting, Reading::Disk) {
                    wait::hold(&again, nothing);
                }
            });
            None
        }
        Ok(PopStep::Empty { rest, again }) => Some(Nothing { waiting, rest, again }),
        Err(error) => {
            answer::refuse(&error, waiting.reply);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_pop_may_be_held() {
        let ms = Duration::from_millis;
        assert_eq!(hold_for(1_000, 0, 0), Some(ms(0)));
        assert_eq!(hold_for(1_000, 0, 50), Some(ms(50)));
        assert_eq!(hold_for(1_000, 900, 150), Some(ms(50)));
        assert_eq!(hold_for(1_000, 5_000, 150), Some(ms(150)));
        assert_eq!(hold_for(1_000, 400, 100), Some(ms(0)));
        assert_eq!(hold_for(1_000, 399, 100), None);
        assert_eq!(hold_for(0, 0, i64::MAX), Some(HOLD_MAX));
    }
}
