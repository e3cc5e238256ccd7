//! What name servers are asked.

use crate::remoting::fields::header_fields;

header_fields! {
    /// GET_ROUTEINFO_BY_TOPIC (105).
    pub struct GetRouteInfoHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// Whether the answer has to be standard JSON.
        accept_standard_json_only: bool => "acceptStandardJsonOnly" or false,
    }
}

header_fields! {
    /// REGISTER_BROKER (103).
    pub struct RegisterBrokerHeader<'a> {
        /// The broker's name, which it shares with its replicas.
        broker_name: &'a str => "brokerName",
        /// Where clients reach it.
        broker_addr: &'a str => "brokerAddr",
        /// Its cluster.
        cluster_name: &'a str => "clusterName",
        /// Where replicas reach it.
        ha_server_addr: &'a str => "haServerAddr" or "",
        /// 0 for the master.
        broker_id: i64 => "brokerId",
        /// How long it counts as alive without a sign of life.
        heartbeat_timeout_ms: Option<i64> => "heartbeatTimeoutMillis",
        /// Whether a replica may stand in for the master. Absent from old brokers.
        enable_acting_master: Option<bool> => "enableActingMaster",
        /// Whether the body is compressed.
        compressed: bool => "compressed" or false,
        /// CRC-32 of the body without its top bit; 0 is not checked.
        body_crc32: i32 => "bodyCrc32" or 0,
        /// The zone the broker is in.
        zone_name: Option<&'a str> => "__ZONE_NAME",
    }
}

header_fields! {
    /// UNREGISTER_BROKER (104), QUERY_DATA_VERSION (322).
    pub struct BrokerIdentityHeader<'a> {
        /// The broker's name.
        broker_name: &'a str => "brokerName",
        /// Where clients reach it.
        broker_addr: &'a str => "brokerAddr",
        /// Its cluster.
        cluster_name: &'a str => "clusterName",
        /// 0 for the master.
        broker_id: i64 => "brokerId" or 0,
    }
}

header_fields! {
    /// BROKER_HEARTBEAT (904).
    pub struct BrokerHeartbeatHeader<'a> {
        /// Its cluster.
        cluster_name: &'a str => "clusterName",
        /// Where clients reach it.
        broker_addr: &'a str => "brokerAddr",
        /// The broker's name.
        broker_name: &'a str => "brokerName",
        /// 0 for the master.
        broker_id: Option<i64> => "brokerId",
        /// The broker's epoch.
        epoch: Option<i32> => "epoch",
        /// End of its commit log.
        max_offset: Option<i64> => "maxOffset",
        /// How far its replicas are.
        confirm_offset: Option<i64> => "confirmOffset",
        /// How long it counts as alive without a sign of life. The misspelling is the protocol's.
        heartbeat_timeout_ms: Option<i64> => "heartbeatTimeoutMills",
        /// Which replica is preferred as master.
        election_priority: Option<i32> => "electionPriority",
    }
}

header_fields! {
    /// GET_BROKER_MEMBER_GROUP (901).
    pub struct GetBrokerMemberGroupHeader<'a> {
        /// The cluster.
        cluster_name: &'a str => "clusterName",
        /// The broker's name.
        broker_name: &'a str => "brokerName",
    }
}

header_fields! {
    /// WIPE_WRITE_PERM_OF_BROKER (205), ADD_WRITE_PERM_OF_BROKER (327).
    pub struct WritePermHeader<'a> {
        /// The broker's name.
        broker_name: &'a str => "brokerName",
    }
}

header_fields! {
    /// DELETE_TOPIC_IN_NAMESRV (216).
    pub struct DeleteTopicFromNamesrvHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// Only from this cluster.
        cluster_name: Option<&'a str> => "clusterName",
    }
}

header_fields! {
    /// GET_TOPICS_BY_CLUSTER (224).
    pub struct GetTopicsByClusterHeader<'a> {
        /// The cluster.
        cluster: &'a str => "cluster",
    }
}

header_fields! {
    /// PUT_KV_CONFIG (100).
    pub struct PutKvConfigHeader<'a> {
        /// The namespace.
        namespace: &'a str => "namespace",
        /// The key.
        key: &'a str => "key",
        /// The value.
        value: &'a str => "value",
    }
}

header_fields! {
    /// GET_KV_CONFIG (101), DELETE_KV_CONFIG (102).
    pub struct KvKeyHeader<'a> {
        /// The namespace.
        namespace: &'a str => "namespace",
        /// The key.
        key: &'a str => "key",
    }
}

header_fields! {
    /// GET_KVLIST_BY_NAMESPACE (219).
    pub struct KvNamespaceHeader<'a> {
        /// The namespace.
        namespace: &'a str => "namespace",
    }
}
