//! A broker announces itself and its topics.

use std::collections::{BTreeMap, HashSet};

use crate::broker::{BrokerData, BrokerKey, ConnectionId, DataVersion, Live, MASTER_ID};
use crate::error::RegisterError;
use crate::limits::Limits;
use crate::table::Table;
use crate::topic::{QueueData, TopicSpec};

/// How long a broker stays in the table without a sign of life, unless it asks for another time.
pub(crate) const DEFAULT_TIMEOUT_MS: i64 = 120_000;

/// What a broker says of itself.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The cluster.
    pub cluster: String,
    /// The broker group's name.
    pub broker_name: String,
    /// 0 for a master.
    pub broker_id: i64,
    /// What clients dial; also what identifies the broker within its cluster.
    pub address: String,
    /// What slaves dial.
    pub ha_address: String,
    /// The zone, if the broker has one.
    pub zone: Option<String>,
    /// Lifetime without a sign of life; 120 s if absent. `i64::MAX` never expires (a broker in this very process).
    pub heartbeat_timeout_ms: Option<i64>,
    /// Absent for brokers that know nothing of acting masters.
    pub enable_acting_master: Option<bool>,
    /// Version of `topics`.
    pub data_version: DataVersion,
    /// The broker's topics: all of them, or only the changed ones.
    pub topics: Vec<TopicSpec>,
    /// Filter servers of this broker.
    pub filter_servers: Vec<String>,
    /// The connection this came by; `None` for a broker in this process.
    pub connection: Option<ConnectionId>,
}

/// What the broker is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// For a slave: where its master ships the log from.
    pub ha_address: Option<String>,
    /// For a slave: its master.
    pub master_address: Option<String>,
    /// All order configurations, if there are any and brokers are told.
    pub order_conf: Option<BTreeMap<String, String>>,
}

/// Registers. The order of the rules is what brokers rely on:
///
/// 1. one address is one broker: other ids of the group that carry it are dropped (a slave that became master);
/// 2. an id that moves to another address is ignored, with success, while the entry it would replace is of a later
///    mastership (`state_version`);
/// 3. a broker id that is not known yet and that comes with exactly one topic is refused: that is how a broker's
///    *incremental* registration looks, and it must not stand for the full table. A broker that really has just one
///    topic can therefore not register; Apache's never have fewer than a dozen;
/// 4. the master's topics are written when the broker is new, its data version differs from the last one, or the
///    topic lacks this broker. The lowest slave's as well, if it knows of acting masters, without the write bit;
/// 5. topics that are missing are kept (see `delete_topic_with_registration`).
pub(crate) fn register(
    table: &mut Table,
    registration: &Registration,
    limits: &Limits,
    delete_missing: bool,
    now_ms: i64,
) -> Result<Registered, RegisterError> {
    let r = registration;
    let key = BrokerKey::new(&r.cluster, &r.address);
    check(table, r, limits)?;

    let known = table.brokers.get(&r.broker_name);
    let replaced = known.and_then(|group| group.addresses.get(&r.broker_id));
    if let Some(old_address) = replaced.filter(|old| **old != r.address) {
        let old = table.live.get(&BrokerKey::new(&r.cluster, old_address));
        if old.is_some_and(|live| live.data_version.state_version > r.data_version.state_version) {
            table.live.remove(&key);
            return Ok(Registered::default());
        }
    }
    if replaced.is_none() && r.topics.len() == 1 {
        return Err(RegisterError::IncrementalUnknown {
            broker_name: r.broker_name.clone(),
            address: r.address.clone(),
        });
    }
    let first = replaced.is_none();
    let moved_from = replaced.filter(|old| **old != r.address).cloned();

    enter_group(table, r);
    if let Some(old_address) = moved_from {
        // The old address no longer serves this id; its later silence must not take the new one down.
        table.live.remove(&BrokerKey::new(&r.cluster, &old_address));
    }
    write_topics(table, r, &key, first, delete_missing);

    let live = Live {
        broker_name: r.broker_name.clone(),
        last_update_ms: now_ms,
        timeout_ms: r.heartbeat_timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS).max(0),
        data_version: r.data_version,
        connection: r.connection,
        ha_address: r.ha_address.clone(),
    };
    table.live.insert(key.clone(), live);
    if r.filter_servers.is_empty() {
        table.filter_servers.remove(&key);
    } else {
        table.filter_servers.insert(key, r.filter_servers.clone());
    }
    Ok(answer(table, r))
}

fn check(table: &Table, r: &Registration, limits: &Limits) -> Result<(), RegisterError> {
    for (field, text) in [
        ("clusterName", &r.cluster),
        ("brokerName", &r.broker_name),
        ("brokerAddr", &r.address),
    ] {
        if text.is_empty() {
            return Err(RegisterError::Empty { field });
        }
    }
    let full = |what, max| Err(RegisterError::Full { what, max });
    match table.brokers.get(&r.broker_name) {
        None if table.brokers.len() >= limits.brokers_max => return full("brokers", limits.brokers_max),
        Some(group)
            if !group.addresses.contains_key(&r.broker_id) && group.addresses.len() >= limits.members_max =>
        {
            return full("members of one broker group", limits.members_max);
        }
        _ => {}
    }
    if r.filter_servers.len() > limits.filter_servers_max {
        return full("filter servers", limits.filter_servers_max);
    }
    if table.topics.len() + r.topics.len() > limits.topics_max {
        let new = r
            .topics
            .iter()
            .filter(|t| !table.topics.contains_key(&t.name))
            .count();
        if table.topics.len() + new > limits.topics_max {
            return full("topics", limits.topics_max);
        }
    }
    Ok(())
}

/// Puts the broker into its group and the group into its cluster.
fn enter_group(table: &mut Table, r: &Registration) {
    let group = table
        .brokers
        .entry(r.broker_name.clone())
        .or_insert_with(|| BrokerData {
            cluster: r.cluster.clone(),
            broker_name: r.broker_name.clone(),
            addresses: BTreeMap::new(),
            enable_acting_master: false,
            zone: None,
        });
    if group.cluster != r.cluster {
        // The name moved to another cluster: it may be listed under one only, and entries of the old one must not
        // expire later and take the group down.
        for address in group.addresses.values() {
            table.live.remove(&BrokerKey::new(&group.cluster, address));
        }
        if let Some(names) = table.clusters.get_mut(&group.cluster) {
            names.remove(&r.broker_name);
            if names.is_empty() {
                table.clusters.remove(&group.cluster);
            }
        }
        group.cluster.clone_from(&r.cluster);
    }
    group.enable_acting_master = r.enable_acting_master.unwrap_or(false);
    group.zone.clone_from(&r.zone);
    group
        .addresses
        .retain(|id, address| *id == r.broker_id || *address != r.address);
    group.addresses.insert(r.broker_id, r.address.clone());
    table
        .clusters
        .entry(r.cluster.clone())
        .or_default()
        .insert(r.broker_name.clone());
}

fn write_topics(table: &mut Table, r: &Registration, key: &BrokerKey, first: bool, delete_missing: bool) {
    let Some(group) = table.brokers.get(&r.broker_name) else {
        return;
    };
    let is_master = r.broker_id == MASTER_ID;
    let is_prime_slave =
        !is_master && r.enable_acting_master.is_some() && group.lowest_id() == Some(r.broker_id);
    if !is_master && !is_prime_slave {
        return;
    }
    let without_write = is_prime_slave && group.enable_acting_master;
    if delete_missing && !r.topics.is_empty() {
        let named: HashSet<&str> = r.topics.iter().map(|t| t.name.as_str()).collect();
        table.topics.retain(|name, queues| {
            if !named.contains(name.as_str()) {
                queues.remove(&r.broker_name);
            }
            !queues.is_empty()
        });
    }
    let changed = first
        || table
            .live
            .get(key)
            .is_none_or(|live| live.data_version != r.data_version);
    for topic in &r.topics {
        let queues = table.topics.entry(topic.name.clone()).or_default();
        if changed || !queues.contains_key(&r.broker_name) {
            let mut queue = QueueData::of(&r.broker_name, topic);
            if without_write {
                queue.wipe_write();
            }
            queues.insert(r.broker_name.clone(), queue);
        }
    }
}

fn answer(table: &Table, r: &Registration) -> Registered {
    let mut registered = Registered::default();
    if r.broker_id == MASTER_ID {
        return registered;
    }
    let master = table
        .brokers
        .get(&r.broker_name)
        .and_then(|group| group.addresses.get(&MASTER_ID));
    if let Some(address) = master
        && let Some(live) = table.live.get(&BrokerKey::new(&r.cluster, address))
    {
        registered.ha_address = Some(live.ha_address.clone());
        registered.master_address = Some(address.clone());
    }
    registered
}
