//! The name server in this process: told by direct calls.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_nameserver::{DataVersion, NameServer, Registration, TopicSpec};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::told::{Told, Topics};
use super::{Due, shown_perm, until_due};

pub(super) async fn keep(
    broker: Arc<Broker>,
    names: Arc<NameServer>,
    mut told: Told,
    mut changes: watch::Receiver<u64>,
    shutdown: CancellationToken,
) {
    loop {
        let topics = match until_due(&mut changes, &shutdown).await {
            Due::Period => told.all(&broker),
            Due::Change => told.changed(&broker),
            Due::Shutdown => break,
        };
        register(&broker, &names, &topics);
    }
    let options = broker.options();
    names.unregister(
        &options.cluster_name,
        &options.broker_name,
        &options.store_host.to_string(),
    );
}

pub(super) fn register(broker: &Broker, names: &NameServer, topics: &Topics) {
    let options = broker.options();
    let version = topics.version;
    let address = options.store_host.to_string();
    let registration = Registration {
        cluster: options.cluster_name.clone(),
        broker_name: options.broker_name.clone(),
        broker_id: i64::try_from(options.broker_id).unwrap_or(i64::MAX),
        ha_address: address.clone(),
        address,
        zone: None,
        // The process is its sign of life.
        heartbeat_timeout_ms: Some(i64::MAX),
        enable_acting_master: None,
        data_version: DataVersion {
            state_version: version.state_version,
            timestamp_ms: version.timestamp_ms,
            counter: version.counter,
        },
        topics: topics
            .configs
            .iter()
            .map(|topic| TopicSpec {
                name: topic.name.to_string(),
                read_queues: topic.read_queues,
                write_queues: topic.write_queues,
                perm: shown_perm(topic.perm, options.perm),
                sys_flag: topic.sys_flag,
            })
            .collect(),
        filter_servers: Vec::new(),
        connection: None,
    };
    if let Err(error) = names.register(&registration, broker.now_ms()) {
        tracing::error!(%error, "the broker cannot be registered with the name server in this process");
    }
}
