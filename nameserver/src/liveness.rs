//! Who is still there.

use crate::broker::{BrokerKey, ConnectionId, DataVersion};
use crate::table::Table;
use crate::unregister::unregister;

/// Refreshes a broker's last sign of life. An unknown broker stays unknown: only a registration carries topics.
pub(crate) fn heartbeat(table: &mut Table, cluster: &str, address: &str, now_ms: i64) {
    if let Some(live) = table.live.get_mut(&BrokerKey::new(cluster, address)) {
        live.last_update_ms = now_ms;
    }
}

/// The version this table has of a broker, as a sign of life as well.
pub(crate) fn data_version(
    table: &mut Table,
    cluster: &str,
    address: &str,
    now_ms: i64,
) -> Option<DataVersion> {
    heartbeat(table, cluster, address, now_ms);
    table
        .live
        .get(&BrokerKey::new(cluster, address))
        .map(|live| live.data_version)
}

/// Unregisters every broker that registered on this connection. One that has since registered on another
/// connection stays. Says how many went.
pub(crate) fn connection_closed(table: &mut Table, connection: ConnectionId) -> usize {
    let gone = doomed(table, |live| live.connection == Some(connection));
    let count = gone.len();
    for (key, broker_name) in gone {
        unregister(table, &key.cluster, &broker_name, &key.address);
    }
    count
}

/// Unregisters every broker that was silent for too long; gives back the connections they came by, to be closed.
pub(crate) fn expire(table: &mut Table, now_ms: i64) -> Vec<ConnectionId> {
    let mut connections = Vec::new();
    for (key, broker_name) in doomed(table, |live| live.expired(now_ms)) {
        if let Some(live) = table.live.get(&key) {
            connections.extend(live.connection);
        }
        unregister(table, &key.cluster, &broker_name, &key.address);
    }
    connections.sort_unstable();
    connections.dedup();
    connections
}

fn doomed(table: &Table, which: impl Fn(&crate::broker::Live) -> bool) -> Vec<(BrokerKey, String)> {
    let mut found: Vec<_> = table
        .live
        .iter()
        .filter(|(_, live)| which(live))
        .map(|(key, live)| (key.clone(), live.broker_name.clone()))
        .collect();
    found.sort();
    found
}
