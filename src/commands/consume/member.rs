//! This process as a member of a consumer group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use kourou_proto::body::{
    ConsumeFromWhere, ConsumeType, ConsumerData, ConsumerList, HeartbeatData, MessageModel,
};
use kourou_proto::remoting::request::{
    ConsumerGroupHeader, GetMaxOffsetHeader, QueryConsumerOffsetHeader, QueueHeader, UnregisterClientHeader,
    UpdateConsumerOffsetHeader,
};
use kourou_proto::remoting::response::OffsetResponse;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};

use super::filter::Filter;
use super::share::average;
use crate::cli::{Consume, From};
use crate::commands::cluster::{Cluster, PERM_READ, Queue, queues, request};
use crate::commands::when;
use crate::output::one_line;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) cluster: Arc<Cluster>,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) filter: Filter,
    /// Also the version of the subscription: a later one replaces it.
    pub(super) born_ms: i64,
    from: From,
    id: String,
    troubled: AtomicBool,
}

impl Member {
    /// Joins: the brokers of the topic know the group and its subscription when this returns.
    pub(super) async fn join(cluster: Arc<Cluster>, consume: &Consume, filter: Filter) -> Result<Self> {
        let born_ms = when::now_ms();
        let member = Self {
            cluster,
            topic: consume.topic.clone(),
            group: consume.group.clone(),
            filter,
            born_ms,
            from: consume.from,
            id: format!("kourou-cli@{}#{born_ms}", std::process::id()),
            troubled: AtomicBool::new(false),
        };
        member.share().await?;
        Ok(member)
    }

    /// Says, once, that something failed that is tried again.
    pub(super) fn trouble(&self, error: &anyhow::Error) {
        if !self.troubled.swap(true, Ordering::Relaxed) {
            eprintln!("kourou: {}; trying on", one_line(error));
        }
    }

    /// Says that it works again, if it did not.
    pub(super) fn well(&self) {
        if self.troubled.swap(false, Ordering::Relaxed) {
            eprintln!("kourou: it works again");
        }
    }

    /// A sign of life to every broker of the topic, and the queues that are ours as the group is now.
    pub(super) async fn share(&self) -> Result<Vec<Queue>> {
        let Some(route) = self.cluster.route(&self.topic).await? else {
            bail!(
                "there is no topic '{}'; the first send creates it, or: kourou topic create {0}",
                self.topic
            );
        };
        let queues = queues(&route, PERM_READ, |data| data.read_queue_nums);
        let mut members = BTreeSet::new();
        for address in addresses(&queues) {
            let heartbeat = Command::request(RequestCode::HEART_BEAT, 0).with_body(self.heartbeat().encode());
            self.cluster.call(address, heartbeat).await?;
            let list = ConsumerGroupHeader {
                consumer_group: &self.group,
            };
            let answer = self
                .cluster
                .call(address, request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &list))
                .await?;
            members.extend(ConsumerList::decode(&answer.body)?.consumer_id_list);
        }
        let index = members.iter().position(|id| *id == self.id).unwrap_or(0);
        Ok(average(&queues, members.len(), index))
    }

    fn heartbeat(&self) -> HeartbeatData {
        let from = match self.from {
            From::First => ConsumeFromWhere::FirstOffset,
            From::Last => ConsumeFromWhere::LastOffset,
        };
        HeartbeatData {
            client_id: self.id.clone(),
            consumer_data_set: vec![ConsumerData {
                consume_from_where: from,
                consume_type: ConsumeType::Passively,
                group_name: self.group.clone(),
                message_model: MessageModel::Clustering,
                subscription_data_set: vec![self.filter.subscription(&self.topic, self.born_ms)],
                unit_mode: false,
            }],
            heartbeat_fingerprint: 0,
            producer_data_set: Vec::new(),
            without_sub: false,
        }
    }

    /// Where the group is in a queue; where it begins when it has not been there.
    pub(super) async fn begin(&self, queue: &Queue) -> Result<i64> {
        let (topic, queue_id) = (self.topic.as_str(), queue.id);
        let header = QueryConsumerOffsetHeader {
            consumer_group: &self.group,
            topic,
            queue_id,
            set_zero_if_not_found: false,
        };
        let query = request(RequestCode::QUERY_CONSUMER_OFFSET, &header);
        let known = self
            .cluster
            .call_unless(&queue.address, query, &[ResponseCode::QUERY_NOT_FOUND])
            .await?;
        let answer = match (known, self.from) {
            (Some(answer), _) => answer,
            (None, From::First) => {
                let oldest = request(RequestCode::GET_MIN_OFFSET, &QueueHeader { topic, queue_id });
                self.cluster.call(&queue.address, oldest).await?
            }
            (None, From::Last) => {
                let next = GetMaxOffsetHeader {
                    topic,
                    queue_id,
                    committed: true,
                };
                self.cluster
                    .call(&queue.address, request(RequestCode::GET_MAX_OFFSET, &next))
                    .await?
            }
        };
        Ok(OffsetResponse::from_fields(&answer.header.fields)?.offset)
    }

    /// Makes the group go on behind what was printed.
    pub(super) async fn commit(&self, queue: &Queue, next_offset: i64) -> Result<()> {
        let header = UpdateConsumerOffsetHeader {
            consumer_group: &self.group,
            topic: &self.topic,
            queue_id: queue.id,
            commit_offset: next_offset,
        };
        self.cluster
            .call(
                &queue.address,
                request(RequestCode::UPDATE_CONSUMER_OFFSET, &header),
            )
            .await?;
        Ok(())
    }

    /// Leaves the group on every broker.
    pub(super) async fn leave(&self) -> Result<()> {
        let Some(route) = self.cluster.route(&self.topic).await? else {
            return Ok(());
        };
        let header = UnregisterClientHeader {
            client_id: &self.id,
            producer_group: None,
            consumer_group: Some(&self.group),
        };
        for address in addresses(&queues(&route, PERM_READ, |data| data.read_queue_nums)) {
            self.cluster
                .call(address, request(RequestCode::UNREGISTER_CLIENT, &header))
                .await?;
        }
        Ok(())
    }
}

/// Every broker among the queues, once.
fn addresses(queues: &[Queue]) -> BTreeSet<&str> {
    queues.iter().map(|queue| queue.address.as_str()).collect()
}
