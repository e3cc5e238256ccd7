//! The name server as its callers see it: the tables behind one lock.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::broker::{BrokerMembers, ConnectionId, DataVersion};
use crate::error::{DisabledError, KvError, RegisterError, SettingError};
use crate::kv::{KvConfig, ORDER_TOPIC_CONFIG};
use crate::limits::Limits;
use crate::options::Options;
use crate::query::{self, ClusterInfo, SystemTopics, TopicRoute, UnitTopics};
use crate::register::{self, Registered, Registration};
use crate::table::Table;
use crate::topic::QueueData;
use crate::{liveness, perm, unregister};

/// Routes, liveness and key-value configuration. Shared by reference; no call blocks for longer than a table walk.
#[derive(Debug, Default)]
pub struct NameServer {
    table: RwLock<Table>,
    kv: RwLock<KvConfig>,
    options: RwLock<Options>,
}

impl NameServer {
    /// An empty name server.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            table: RwLock::default(),
            kv: RwLock::default(),
            options: RwLock::new(options),
        }
    }

    /// Takes a broker and its topics into the table, see [`Registration`].
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; the table is then as before.
    pub fn register(&self, registration: &Registration, now_ms: i64) -> Result<Registered, RegisterError> {
        let (limits, delete_missing, tell_order) = {
            let options = self.options.read();
            (
                options.limits,
                options.delete_topic_with_registration,
                options.return_order_conf_to_broker,
            )
        };
        let mut registered = register::register(
            &mut self.table.write(),
            registration,
            &limits,
            delete_missing,
            now_ms,
        )?;
        if tell_order {
            registered.order_conf = self.kv.read().list(ORDER_TOPIC_CONFIG).cloned();
        }
        Ok(registered)
    }

    /// Takes one broker off the table. Unknown ones are fine.
    pub fn unregister(&self, cluster: &str, broker_name: &str, address: &str) {
        unregister::unregister(&mut self.table.write(), cluster, broker_name, address);
    }

    /// A sign of life from a registered broker; nothing happens for an unknown one.
    pub fn heartbeat(&self, cluster: &str, address: &str, now_ms: i64) {
        liveness::heartbeat(&mut self.table.write(), cluster, address, now_ms);
    }

    /// The version of the broker's topics that this table has, `None` if the broker is not known (which a broker
    /// must take as "changed"). Counts as a sign of life.
    pub fn data_version(&self, cluster: &str, address: &str, now_ms: i64) -> Option<DataVersion> {
        liveness::data_version(&mut self.table.write(), cluster, address, now_ms)
    }

    /// The connection is gone: so are the brokers whose last registration came by it. Says how many.
    pub fn connection_closed(&self, connection: ConnectionId) -> usize {
        // Most connections are clients': look before taking the write lock.
        if !self
            .table
            .read()
            .live
            .values()
            .any(|live| live.connection == Some(connection))
        {
            return 0;
        }
        liveness::connection_closed(&mut self.table.write(), connection)
    }

    /// Unregisters the brokers that were silent for too long. To be called every few seconds. The connections given
    /// back are theirs and should be closed.
    pub fn expire(&self, now_ms: i64) -> Vec<ConnectionId> {
        if !self.table.read().live.values().any(|live| live.expired(now_ms)) {
            return Vec::new();
        }
        liveness::expire(&mut self.table.write(), now_ms)
    }

    /// Where the topic's queues are; `None` if nobody has any.
    #[must_use]
    pub fn route(&self, topic: &str) -> Option<TopicRoute> {
        let (order, acting_master) = {
            let options = self.options.read();
            (options.order_message, options.acting_master)
        };
        let mut route = query::route(&self.table.read(), topic, acting_master)?;
        if order {
            route.order_conf = self.kv.read().get(ORDER_TOPIC_CONFIG, topic).map(str::to_owned);
        }
        Some(route)
    }

    /// All clusters and brokers.
    #[must_use]
    pub fn cluster_info(&self) -> ClusterInfo {
        query::cluster_info(&self.table.read())
    }

    /// The members of one broker group; without addresses if it is not known.
    #[must_use]
    pub fn members(&self, cluster: &str, broker_name: &str) -> BrokerMembers {
        query::members(&self.table.read(), cluster, broker_name)
    }

    /// Every topic, sorted.
    ///
    /// # Errors
    ///
    /// [`DisabledError`] if the options switch this list off; likewise for the lists below.
    pub fn all_topics(&self) -> Result<Vec<String>, DisabledError> {
        if !self.options.read().all_topic_list {
            return Err(DisabledError);
        }
        Ok(query::all_topics(&self.table.read()))
    }

    /// Topics of one cluster, sorted; none if the cluster is not known.
    ///
    /// # Errors
    ///
    /// As [`NameServer::all_topics`].
    pub fn topics_of_cluster(&self, cluster: &str) -> Result<Vec<String>, DisabledError> {
        self.lists_allowed()?;
        Ok(query::topics_of_cluster(&self.table.read(), cluster))
    }

    /// Cluster and broker names, which are topics by convention.
    #[must_use]
    pub fn system_topics(&self) -> SystemTopics {
        query::system_topics(&self.table.read())
    }

    /// Topics by their unit bits, sorted.
    ///
    /// # Errors
    ///
    /// As [`NameServer::all_topics`].
    pub fn unit_topics(&self, which: UnitTopics) -> Result<Vec<String>, DisabledError> {
        self.lists_allowed()?;
        Ok(query::unit_topics(&self.table.read(), which))
    }

    /// Takes the write bit off all queues of a broker group; says how many topics that concerned.
    pub fn wipe_write_perm(&self, broker_name: &str) -> u32 {
        self.table.write().change_perm(broker_name, QueueData::wipe_write)
    }

    /// Makes all queues of a broker group readable and writable, and nothing else: an inherit bit goes. Says how
    /// many topics that concerned.
    pub fn add_write_perm(&self, broker_name: &str) -> u32 {
        self.table
            .write()
            .change_perm(broker_name, |queue| queue.perm = perm::READ | perm::WRITE)
    }

    /// Deletes a topic, of one cluster or everywhere. A broker that still has it brings it back when it registers.
    pub fn delete_topic(&self, topic: &str, cluster: Option<&str>) {
        self.table.write().delete_topic(topic, cluster);
    }

    /// Adds one topic by hand. Ignored unless every broker named is known.
    pub fn register_topic(&self, topic: &str, queues: Vec<QueueData>) {
        let topics_max = self.options.read().limits.topics_max;
        let mut table = self.table.write();
        let known = queues
            .iter()
            .all(|queue| table.brokers.contains_key(&queue.broker_name));
        let fits = table.topics.contains_key(topic) || table.topics.len() < topics_max;
        if queues.is_empty() || !known || !fits {
            return;
        }
        let entry = table.topics.entry(topic.to_owned()).or_default();
        for queue in queues {
            entry.insert(queue.broker_name.clone(), queue);
        }
    }

    /// Puts a key-value entry.
    ///
    /// # Errors
    ///
    /// [`KvError`] when a bound of [`Limits`] is reached.
    pub fn put_kv(&self, namespace: &str, key: &str, value: &str) -> Result<(), KvError> {
        let limits: Limits = self.options.read().limits;
        self.kv.write().put(namespace, key, value, &limits)
    }

    /// A key-value entry.
    #[must_use]
    pub fn kv(&self, namespace: &str, key: &str) -> Option<String> {
        self.kv.read().get(namespace, key).map(str::to_owned)
    }

    /// Deletes a key-value entry; unknown ones are fine.
    pub fn delete_kv(&self, namespace: &str, key: &str) {
        self.kv.write().delete(namespace, key);
    }

    /// All entries of a namespace; `None` if it has none.
    #[must_use]
    pub fn kv_list(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.kv.read().list(namespace).cloned()
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> Options {
        self.options.read().clone()
    }

    /// Changes options by name, all or none.
    ///
    /// # Errors
    ///
    /// See [`Options::set`].
    pub fn set_options<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), SettingError> {
        let mut options = self.options.write();
        let mut changed = options.clone();
        for (key, value) in settings {
            changed.set(key, value)?;
        }
        *options = changed;
        Ok(())
    }

    fn lists_allowed(&self) -> Result<(), DisabledError> {
        if self.options.read().topic_list {
            Ok(())
        } else {
            Err(DisabledError)
        }
    }
}

#[cfg(test)]
mod tests;
