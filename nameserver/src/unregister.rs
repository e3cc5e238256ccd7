//! A broker leaves, by its own word, by silence or with its connection.

use crate::broker::BrokerKey;
use crate::table::Table;

/// Takes one broker off the table. Unknown brokers change nothing. When its group still has members but no master,
/// and lets a slave act as one, the group's queues lose the write bit.
pub(crate) fn unregister(table: &mut Table, cluster: &str, broker_name: &str, address: &str) {
    let key = BrokerKey::new(cluster, address);
    table.live.remove(&key);
    table.filter_servers.remove(&key);
    let Some(group) = table.brokers.get_mut(broker_name) else {
        return;
    };
    group.addresses.retain(|_, member| *member != address);
    if !group.addresses.is_empty() {
        if group.enable_acting_master && !group.has_master() {
            table.change_perm(broker_name, crate::topic::QueueData::wipe_write);
        }
        return;
    }
    // The group's own cluster, not the caller's: a wrong name must not leave an empty group listed.
    let cluster = group.cluster.clone();
    table.brokers.remove(broker_name);
    if let Some(names) = table.clusters.get_mut(&cluster) {
        names.remove(broker_name);
        if names.is_empty() {
            table.clusters.remove(&cluster);
        }
    }
    table.drop_queues_of(broker_name);
}
