//! What is known of a broker group and of each broker that is alive.

use std::collections::BTreeMap;

/// The broker id of a master.
pub const MASTER_ID: i64 = 0;

/// A version of a broker's topic table. Versions are compared for equality only, never for order, except
/// `state_version`, which a controller raises with every new master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataVersion {
    /// Raised with each change of mastership.
    pub state_version: i64,
    /// When the table last changed.
    pub timestamp_ms: i64,
    /// How often the table changed.
    pub counter: i64,
}

/// Names the connection a broker registered on. Chosen by the caller, never reused while the table lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A broker group: one master and its slaves under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerData {
    /// The cluster it belongs to.
    pub cluster: String,
    /// The group's name.
    pub broker_name: String,
    /// Address by broker id; 0 is the master.
    pub addresses: BTreeMap<i64, String>,
    /// A slave may stand in for a missing master.
    pub enable_acting_master: bool,
    /// The zone it announced.
    pub zone: Option<String>,
}

impl BrokerData {
    pub(crate) fn has_master(&self) -> bool {
        self.addresses.contains_key(&MASTER_ID)
    }

    pub(crate) fn lowest_id(&self) -> Option<i64> {
        self.addresses.keys().next().copied()
    }
}

/// The members of one broker group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerMembers {
    /// The cluster that was asked for.
    pub cluster: String,
    /// The broker name that was asked for.
    pub broker_name: String,
    /// Address by broker id; empty when the group is not known.
    pub addresses: BTreeMap<i64, String>,
}

/// What identifies one live broker: addresses are unique within a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BrokerKey {
    pub(crate) cluster: String,
    pub(crate) address: String,
}

impl BrokerKey {
    pub(crate) fn new(cluster: &str, address: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            address: address.to_owned(),
        }
    }
}

/// The live entry of one broker.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) broker_name: String,
    pub(crate) last_update_ms: i64,
    pub(crate) timeout_ms: i64,
    pub(crate) data_version: DataVersion,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) ha_address: String,
}

impl Live {
    pub(crate) fn expired(&self, now_ms: i64) -> bool {
        self.last_update_ms.saturating_add(self.timeout_ms) < now_ms
    }
}
