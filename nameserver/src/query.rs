//! What can be asked of the table.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::{BrokerData, BrokerKey, BrokerMembers, MASTER_ID};
use crate::table::Table;
use crate::topic::QueueData;

/// Where a topic's queues are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicRoute {
    /// `broker:queues[;broker:queues]` for an ordered topic.
    pub order_conf: Option<String>,
    /// Queues per broker group, by broker name.
    pub queues: Vec<QueueData>,
    /// Every broker group that `queues` names.
    pub brokers: Vec<BrokerData>,
    /// Filter servers by broker address.
    pub filter_servers: BTreeMap<String, Vec<String>>,
}

/// All clusters and their brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterInfo {
    /// Broker groups by name.
    pub brokers: BTreeMap<String, BrokerData>,
    /// Broker names by cluster.
    pub clusters: BTreeMap<String, BTreeSet<String>>,
}

/// Topics that exist because clusters and brokers do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemTopics {
    /// Cluster names and broker names.
    pub topics: Vec<String>,
    /// Some broker that can be asked for its own system topics.
    pub broker_address: Option<String>,
}

/// Which unit topics are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitTopics {
    /// Topics of a unit.
    Unit,
    /// Topics that have a unit subscription.
    UnitSubscribed,
    /// Topics that have a unit subscription and are not of a unit.
    UnitSubscribedNotUnit,
}

const FLAG_UNIT: i32 = 1;
const FLAG_UNIT_SUB: i32 = 2;
/// Topics of broker membership are never presented by an acting master.
const SYNC_MEMBER_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

pub(crate) fn route(table: &Table, topic: &str, acting_master: bool) -> Option<TopicRoute> {
    let queues: Vec<QueueData> = table.topics.get(topic)?.values().cloned().collect();
    let mut brokers: Vec<BrokerData> = queues
        .iter()
        .filter_map(|queue| table.brokers.get(&queue.broker_name))
        .cloned()
        .collect();
    if brokers.is_empty() {
        return None;
    }
    let mut filter_servers = BTreeMap::new();
    for broker in &brokers {
        for address in broker.addresses.values() {
            if let Some(servers) = table
                .filter_servers
                .get(&BrokerKey::new(&broker.cluster, address))
            {
                filter_servers.insert(address.clone(), servers.clone());
            }
        }
    }
    if acting_master && !topic.starts_with(SYNC_MEMBER_PREFIX) {
        for broker in &mut brokers {
            let writable = queues
                .iter()
                .any(|q| q.broker_name == broker.broker_name && q.is_writable());
            if broker.enable_acting_master
                && !broker.has_master()
                && !writable
                && let Some((_, address)) = broker.addresses.pop_first()
            {
                broker.addresses.insert(MASTER_ID, address);
            }
        }
    }
    Some(TopicRoute {
        order_conf: None,
        queues,
        brokers,
        filter_servers,
    })
}

pub(crate) fn cluster_info(table: &Table) -> ClusterInfo {
    ClusterInfo {
        brokers: table.brokers.clone(),
        clusters: table.clusters.clone(),
    }
}

pub(crate) fn members(table: &Table, cluster: &str, broker_name: &str) -> BrokerMembers {
    let group = table
        .brokers
        .get(broker_name)
        .filter(|group| group.cluster == cluster);
    BrokerMembers {
        cluster: cluster.to_owned(),
        broker_name: broker_name.to_owned(),
        addresses: group.map(|group| group.addresses.clone()).unwrap_or_default(),
    }
}

pub(crate) fn all_topics(table: &Table) -> Vec<String> {
    sorted(table.topics.keys().cloned().collect())
}

pub(crate) fn topics_of_cluster(table: &Table, cluster: &str) -> Vec<String> {
    let Some(names) = table.clusters.get(cluster) else {
        return Vec::new();
    };
    let mut topics = Vec::new();
    for (topic, queues) in &table.topics {
        if queues.keys().any(|broker| names.contains(broker)) {
            topics.push(topic.clone());
        }
    }
    sorted(topics)
}

pub(crate) fn system_topics(table: &Table) -> SystemTopics {
    let mut topics = BTreeSet::new();
    for (cluster, names) in &table.clusters {
        topics.insert(cluster.clone());
        topics.extend(names.iter().cloned());
    }
    SystemTopics {
        topics: topics.into_iter().collect(),
        broker_address: table
            .brokers
            .values()
            .find_map(|group| group.addresses.values().next().cloned()),
    }
}

/// Unit topics: a topic counts by the flags of its first broker, brokers being expected to agree.
pub(crate) fn unit_topics(table: &Table, which: UnitTopics) -> Vec<String> {
    let mut topics = Vec::new();
    for (topic, queues) in &table.topics {
        let Some(queue) = queues.values().next() else {
            continue;
        };
        let (unit, subscribed) = (
            queue.sys_flag & FLAG_UNIT != 0,
            queue.sys_flag & FLAG_UNIT_SUB != 0,
        );
        let listed = match which {
            UnitTopics::Unit => unit,
            UnitTopics::UnitSubscribed => subscribed,
            UnitTopics::UnitSubscribedNotUnit => subscribed && !unit,
        };
        if listed {
            topics.push(topic.clone());
        }
    }
    sorted(topics)
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}
