//! The tables themselves. Every change is made under one write lock by the functions in the sibling modules, and
//! leaves these relations true:
//!
//! - a broker name is in exactly one cluster's set, and only while it has at least one address;
//! - a topic is present only while at least one broker has queues of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::broker::{BrokerData, BrokerKey, Live};
use crate::topic::QueueData;

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// topic -> broker name -> queues
    pub(crate) topics: HashMap<String, BTreeMap<String, QueueData>>,
    pub(crate) brokers: BTreeMap<String, BrokerData>,
    pub(crate) clusters: BTreeMap<String, BTreeSet<String>>,
    pub(crate) live: HashMap<BrokerKey, Live>,
    pub(crate) filter_servers: HashMap<BrokerKey, Vec<String>>,
}

impl Table {
    /// Takes one broker's queues out of every topic, and topics without queues out of the table.
    pub(crate) fn drop_queues_of(&mut self, broker_name: &str) {
        self.topics.retain(|_, queues| {
            queues.remove(broker_name);
            !queues.is_empty()
        });
    }

    /// Deletes a topic, everywhere or in one cluster. Unknown names change nothing.
    pub(crate) fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(cluster) = cluster else {
            self.topics.remove(topic);
            return;
        };
        let (Some(names), Some(queues)) = (self.clusters.get(cluster), self.topics.get_mut(topic)) else {
            return;
        };
        queues.retain(|broker, _| !names.contains(broker));
        if queues.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Applies `change` to every queue entry of a broker; says how many topics that were.
    pub(crate) fn change_perm(&mut self, broker_name: &str, change: impl Fn(&mut QueueData)) -> u32 {
        let mut count = 0;
        for queues in self.topics.values_mut() {
            if let Some(queue) = queues.get_mut(broker_name) {
                change(queue);
                count += 1;
            }
        }
        count
    }
}
