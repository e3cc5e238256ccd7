//! Pulls: answered from memory at once, from the disk a little later, or held until a message arrives.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::receive::{Empty, InlineSubscription, PullError, PullOutcome, PullPlace, PullRequest};
use kourou_proto::remoting::request::PullMessageHeader;
use kourou_proto::remoting::response::PullMessageResponse;
use kourou_proto::{Command, FieldError, HeaderFields, ResponseCode};

use super::Port;
use super::hold;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;
use crate::text::{share, text};

/// Bits of a pull's system flag.
mod flag {
    /// The request has an offset to commit.
    pub(super) const COMMIT_OFFSET: i32 = 1;
    /// The request may be held.
    pub(super) const SUSPEND: i32 = 2;
    /// The request has its subscription in it.
    pub(super) const SUBSCRIPTION: i32 = 4;
}

/// A pull that waits for longer would outlast its connection's idle time.
const HOLD_MAX: Duration = Duration::from_secs(110);

pub(super) fn pull(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let (mut pull, hold_for) = match parse(request) {
        Ok(parsed) => parsed,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let outcome = port.broker.pull(&pull);
    match outcome {
        Ok(PullOutcome::Empty(empty)) if empty.may_hold() && !hold_for.is_zero() => {
            // Committed above; a held pull that runs again much later must not set the offset back.
            pull.commit_offset = None;
            hold::hold(port, pull, empty, hold_for, reply);
        }
        outcome => finish(port, outcome, reply),
    }
}

/// Answers with an outcome as it is.
pub(super) fn finish(port: &Arc<Port>, outcome: Result<PullOutcome, PullError>, reply: ReplyTo) {
    match outcome {
        Ok(PullOutcome::Found(found)) => {
            let head = reply
                .command(ResponseCode::SUCCESS)
                .with_fields(&place_fields(&found.place))
                .with_remark("FOUND");
            reply.send_records(head, found.records);
        }
        Ok(PullOutcome::Empty(empty)) => answer_empty(&empty, reply),
        Ok(PullOutcome::Cold(cold)) => port.cold_reads.pull(port, cold, reply),
        Err(error) => refuse(&error, reply),
    }
}

pub(super) fn answer_empty(empty: &Empty, reply: ReplyTo) {
    let answer = reply
        .command(ResponseCode::new(empty.code))
        .with_fields(&place_fields(&empty.place))
        .with_remark(empty.status.name());
    reply.send(answer);
}

/// The peer takes answers too slowly for more of them: it gets its place back, and may ask again when it has caught up.
pub(super) fn answer_again(place: &PullPlace, offset: i64, reply: ReplyTo) {
    let mut fields = place_fields(place);
    fields.next_begin_offset = offset;
    let answer = reply
        .command(ResponseCode::PULL_RETRY_IMMEDIATELY)
        .with_fields(&fields);
    reply.send(answer);
}

fn refuse(error: &PullError, reply: ReplyTo) {
    let mut answer = reply
        .command(ResponseCode::new(error.response_code()))
        .with_remark(error.to_string());
    if let Some(forbidden_type) = error.forbidden_type() {
        let nowhere = PullMessageResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: 0,
            min_offset: 0,
            max_offset: 0,
            offset_delta: None,
            topic_sys_flag: None,
            group_sys_flag: None,
            forbidden_type: Some(forbidden_type),
        };
        answer = answer.with_fields(&nowhere);
    }
    reply.send(answer);
}

fn place_fields(place: &PullPlace) -> PullMessageResponse {
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    PullMessageResponse {
        suggest_which_broker_id: place.suggest_broker_id,
        next_begin_offset: offset(place.next_offset),
        min_offset: offset(place.min_offset),
        max_offset: offset(place.max_offset),
        offset_delta: None,
        topic_sys_flag: Some(place.topic_sys_flag),
        group_sys_flag: Some(place.group_sys_flag),
        forbidden_type: None,
    }
}

fn parse(request: &Command) -> Result<(PullRequest, Duration), FieldError> {
    let header = PullMessageHeader::decode(request)?;
    let has = |bit: i32| header.sys_flag & bit != 0;
    let (expression, expression_type) = if has(flag::SUBSCRIPTION) {
        (
            header.subscription.unwrap_or(""),
            header.expression_type.unwrap_or(""),
        )
    } else {
        ("", "")
    };
    let [group, topic, expression, expression_type] =
        share([header.consumer_group, header.topic, expression, expression_type]);
    let subscription = has(flag::SUBSCRIPTION).then(|| InlineSubscription {
        expression: text(expression),
        expression_type: text(expression_type),
    });
    let hold_for = if has(flag::SUSPEND) {
        Duration::from_millis(u64::try_from(header.suspend_timeout_ms).unwrap_or(0)).min(HOLD_MAX)
    } else {
        Duration::ZERO
    };
    let pull = PullRequest {
        group: text(group),
        topic: text(topic),
        queue_id: header.queue_id,
        offset: header.queue_offset,
        messages_max: header.max_msg_nums,
        commit_offset: has(flag::COMMIT_OFFSET).then_some(header.commit_offset),
        subscription,
        sub_version: header.sub_version,
    };
    Ok((pull, hold_for))
}
