//! One queue: pulls follow one another, held by the broker while there is nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use kourou_proto::remoting::request::PullMessageHeader;
use kourou_proto::remoting::response::PullMessageResponse;
use kourou_proto::{HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::ClientError;
use tokio::sync::mpsc;

use super::filter::Filter;
use super::member::Member;
use crate::commands::cluster::{Queue, request};

/// The flags of a pull: the broker may hold it, and the subscription comes with it.
const SUSPEND: i32 = 2;
const SUBSCRIPTION: i32 = 4;

const MESSAGES_MAX: i32 = 32;

/// How long the broker may hold a pull, and how long we wait for it to answer.
const HOLD: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait before asking a broker again that could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What one pull brought: records back to back.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) queue: Queue,
    pub(super) records: Bytes,
    pub(super) filter: Filter,
    pub(super) next_offset: i64,
}

/// Pulls until nobody listens; an error that a retry cannot mend is sent and ends it.
pub(super) async fn run(member: Arc<Member>, queue: Queue, batches: mpsc::Sender<Result<Batch>>) {
    if let Err(error) = pull(&member, queue, &batches).await {
        // Nobody listens any more: then nobody wants to know.
        let _ = batches.send(Err(error)).await;
    }
}

/// Where to begin; asked until there is an answer.
async fn begin(member: &Member, queue: &Queue) -> Result<i64> {
    loop {
        match member.begin(queue).await {
            Err(error) if error.is::<ClientError>() => {
                member.trouble(&error);
                tokio::time::sleep(RETRY_AFTER).await;
            }
            answered => return answered,
        }
    }
}

async fn pull(member: &Member, queue: Queue, batches: &mpsc::Sender<Result<Batch>>) -> Result<()> {
    let mut offset = begin(member, &queue).await?;
    loop {
        let header = PullMessageHeader {
            consumer_group: &member.group,
            topic: &member.topic,
            queue_id: queue.id,
            queue_offset: offset,
            max_msg_nums: MESSAGES_MAX,
            sys_flag: SUSPEND | SUBSCRIPTION,
            commit_offset: 0,
            suspend_timeout_ms: i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(member.filter.expression()),
            sub_version: member.born_ms,
            expression_type: Some(member.filter.expression_type()),
            max_msg_bytes: None,
            request_source: None,
            proxy_forward_client_id: None,
            broker_name: Some(&queue.broker),
        };
        let pull = request(RequestCode::PULL_MESSAGE, &header);
        let answer = match member
            .cluster
            .call_within(ANSWER_TIMEOUT, &queue.address, pull)
            .await
        {
            Ok(answer) => answer,
            Err(error) => {
                member.trouble(&error);
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        };
        member.well();
        match answer.response_code() {
            ResponseCode::SUCCESS
            | ResponseCode::PULL_NOT_FOUND
            | ResponseCode::PULL_RETRY_IMMEDIATELY
            | ResponseCode::PULL_OFFSET_MOVED => {
                offset = PullMessageResponse::from_fields(&answer.header.fields)?.next_begin_offset;
            }
            code => bail!("broker at {} answered {code}: {}", queue.address, answer.remark()),
        }
        if answer.response_code() == ResponseCode::SUCCESS {
            let batch = Batch {
                queue: queue.clone(),
                records: answer.body,
                filter: member.filter.clone(),
                next_offset: offset,
            };
            if batches.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
        }
    }
}
