//! Where topics live: what name servers answer.

use std::collections::BTreeMap;

use super::object::json_object;
use crate::json::{self, KeyStyle};

json_object! {
    /// Answers GET_ROUTEINFO_BY_TOPIC (105).
    pub struct TopicRouteData {
        /// The brokers that have queues of the topic.
        broker_datas: Vec<BrokerData> => "brokerDatas",
        /// Filter servers by broker address. Nobody runs them any more; clients want the member.
        filter_server_table: BTreeMap<String, Vec<String>> => "filterServerTable",
        /// The queues of an ordered topic, `broker:queues` joined by semicolons.
        order_topic_conf: Option<String> => "orderTopicConf",
        /// The queues, by broker.
        queue_datas: Vec<QueueData> => "queueDatas",
        /// Mappings of a static topic, by broker.
        topic_queue_mapping_by_broker: Option<BTreeMap<String, TopicQueueMappingInfo>> =>
            "topicQueueMappingByBroker",
    }
}

impl TopicRouteData {
    /// Writes a body in standard JSON, for clients from 4.9.4 on or that ask for it. Others read broker ids only
    /// without quotes; those get [`TopicRouteData::encode`].
    pub fn encode_standard(&self) -> Vec<u8> {
        json::to_vec(self, KeyStyle::Standard)
    }
}

json_object! {
    /// The brokers that share a name: a master and its replicas.
    pub struct BrokerData {
        /// Addresses by id; the master has 0.
        broker_addrs: BTreeMap<i64, String> => "brokerAddrs",
        /// The name.
        broker_name: String => "brokerName",
        /// The cluster.
        cluster: String => "cluster",
        /// Whether a replica may stand in for the master.
        enable_acting_master: bool => "enableActingMaster",
        /// The zone.
        zone_name: Option<String> => "zoneName",
    }
}

json_object! {
    /// The queues of a topic on one broker.
    #[derive(Eq)]
    pub struct QueueData {
        /// The broker.
        broker_name: String => "brokerName",
        /// Permission bits.
        perm: i32 => "perm",
        /// Queues to read from.
        read_queue_nums: i32 => "readQueueNums",
        /// Topic system flags.
        topic_sys_flag: i32 => "topicSysFlag",
        /// Queues to write to.
        write_queue_nums: i32 => "writeQueueNums",
    }
}

json_object! {
    /// How the queues of a static topic map to one broker's own.
    pub struct TopicQueueMappingInfo {
        /// The broker.
        broker_name: String => "bname",
        /// The broker's queue for each of the topic's.
        curr_id_map: BTreeMap<i32, i32> => "currIdMap",
        /// Whether it is being changed.
        dirty: bool => "dirty",
        /// Counts changes.
        epoch: i64 => "epoch",
        /// Where it holds.
        scope: Option<String> => "scope",
        /// The topic.
        topic: String => "topic",
        /// How many queues the topic has.
        total_queues: i32 => "totalQueues",
    }
}

json_object! {
    /// Answers GET_BROKER_CLUSTER_INFO (106).
    pub struct ClusterInfo {
        /// Brokers by name.
        broker_addr_table: BTreeMap<String, BrokerData> => "brokerAddrTable",
        /// Names of brokers by cluster.
        cluster_addr_table: BTreeMap<String, Vec<String>> => "clusterAddrTable",
    }
}

json_object! {
    /// Answers GET_BROKER_MEMBER_GROUP (901).
    pub struct BrokerMemberGroupBody {
        /// The group asked for.
        broker_member_group: BrokerMemberGroup => "brokerMemberGroup",
    }
}

json_object! {
    /// The live brokers that share a name.
    pub struct BrokerMemberGroup {
        /// Addresses by id.
        broker_addrs: BTreeMap<i64, String> => "brokerAddrs",
        /// The name.
        broker_name: String => "brokerName",
        /// The cluster.
        cluster: String => "cluster",
    }
}
