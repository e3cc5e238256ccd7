//! A broker makes itself known to name servers: the one in this process, others over the network, or both.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Broker;
use kourou_broker::topic::{self, TopicConfig, perm};
use kourou_nameserver::{DataVersion, NameServer, Registration, TopicSpec};
use kourou_proto::body::RegisterBrokerBody;
use kourou_proto::remoting::request::{BrokerIdentityHeader, RegisterBrokerHeader};
use kourou_proto::{Command, RequestCode, ResponseCode};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::broker_port::{topic_body, topics_body};
use crate::client::Link;
use crate::events::BrokerEvents;

/// How often a broker says that it is there.
const PERIOD: Duration = Duration::from_secs(30);
/// How long a registration may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long saying good-bye may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before the next attempt after a failed one; it doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Changes that come faster than this are told together: each registration carries all topics.
const CHANGES_APART: Duration = Duration::from_millis(20);

/// Who is told of a broker.
#[derive(Debug, Clone, Default)]
pub struct NameServers {
    /// The name server in this process.
    pub local: Option<Arc<NameServer>>,
    /// Others, `host:port`.
    pub remote: Vec<String>,
}

/// Registers the broker at once, then every thirty seconds, and what changes of its topics when it does, at each name
/// server on a connection of its own, until `shutdown`; then unregisters it. `events` must be the broker's listener.
///
/// Name servers that cannot be reached are tried again for ever: a broker may start before them.
pub async fn announce(
    broker: Arc<Broker>,
    events: Arc<BrokerEvents>,
    to: NameServers,
    shutdown: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    if let Some(names) = to.local {
        // Done before the first await: whoever starts this and then asks for a route finds the broker.
        let changes = events.topics();
        let mut told = Told::default();
        register_local(&broker, &names, &told.all(&broker));
        let options = broker.options();
        events.tell(Arc::clone(&names), options.broker_name.clone(), options.perm);
        tasks.spawn(local(Arc::clone(&broker), names, told, changes, shutdown.clone()));
    }
    for address in to.remote {
        tasks.spawn(remote(
            Arc::clone(&broker),
            address,
            events.topics(),
            shutdown.clone(),
        ));
    }
    while tasks.join_next().await.is_some() {}
}

async fn local(
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
        register_local(&broker, &names, &topics);
    }
    let options = broker.options();
    names.unregister(
        &options.cluster_name,
        &options.broker_name,
        &options.store_host.to_string(),
    );
}

fn register_local(broker: &Broker, names: &NameServer, topics: &Topics) {
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

async fn remote(
    broker: Arc<Broker>,
    address: String,
    mut changes: watch::Receiver<u64>,
    shutdown: CancellationToken,
) {
    let mut retry = RETRY.0;
    let mut failing = false;
    loop {
        let attempt = timeout(CALL_TIMEOUT, Link::connect(&address));
        let link = tokio::select! {
            link = attempt => link,
            () = shutdown.cancelled() => return,
        };
        match link {
            Ok(Ok(link)) => match stay(&broker, &link, &address, &mut changes, &shutdown).await {
                Left::Shutdown => return leave(&broker, &link).await,
                Left::Lost => {
                    tracing::info!(address, "the connection to a name server was lost");
                    (retry, failing) = (RETRY.0, true);
                }
                Left::Refused => failing = true,
            },
            Ok(Err(error)) if !failing => {
                tracing::warn!(%error, "a name server cannot be reached; trying on");
                failing = true;
            }
            _ => {}
        }
        tokio::select! {
            () = sleep(retry) => {}
            () = shutdown.cancelled() => return,
        }
        retry = (retry * 2).min(RETRY.1);
    }
}

enum Left {
    Shutdown,
    Lost,
    Refused,
}

/// Registers again and again on one connection, for as long as it lasts.
async fn stay(
    broker: &Broker,
    link: &Link,
    address: &str,
    changes: &mut watch::Receiver<u64>,
    shutdown: &CancellationToken,
) -> Left {
    let mut registered = false;
    changes.mark_unchanged();
    let mut told = Told::default();
    let mut topics = told.all(broker);
    loop {
        match link.call(registration(broker, &topics), CALL_TIMEOUT).await {
            Ok(answer) if answer.response_code() == ResponseCode::SUCCESS => {
                if !registered {
                    tracing::info!(address, "registered with a name server");
                }
                registered = true;
            }
            Ok(answer) => {
                let (code, remark) = (answer.response_code(), answer.remark());
                tracing::warn!(address, %code, remark, "a name server refuses the broker");
                return Left::Refused;
            }
            Err(_) => return Left::Lost,
        }
        topics = tokio::select! {
            due = until_due(changes, shutdown) => match due {
                Due::Period => told.all(broker),
                Due::Change => told.changed(broker),
                Due::Shutdown => return Left::Shutdown,
            },
            () = link.closed() => return Left::Lost,
        };
    }
}

/// Why a registration is due.
enum Due {
    Period,
    Change,
    Shutdown,
}

/// Waits for the next period or for a change, whichever is first.
async fn until_due(changes: &mut watch::Receiver<u64>, shutdown: &CancellationToken) -> Due {
    let began = Instant::now();
    tokio::select! {
        () = sleep(PERIOD) => Due::Period,
        _ = changes.changed() => {
            let apart = CHANGES_APART.saturating_sub(began.elapsed());
            tokio::select! {
                () = sleep(apart) => {}
                () = shutdown.cancelled() => return Due::Shutdown,
            }
            changes.mark_unchanged();
            Due::Change
        }
        () = shutdown.cancelled() => Due::Shutdown,
    }
}

/// Topics to register, and the version of the whole table.
struct Topics {
    configs: Vec<Arc<TopicConfig>>,
    version: topic::DataVersion,
}

/// What a name server has been told last. With many topics a change of one must not cost as much as all of them.
#[derive(Default)]
struct Told {
    /// By name.
    topics: Vec<Arc<TopicConfig>>,
}

impl Told {
    fn all(&mut self, broker: &Broker) -> Topics {
        let (configs, version) = broker.topics();
        self.topics.clone_from(&configs);
        Topics { configs, version }
    }

    /// The topics that are new or different. A name server keeps what is not named, deleted topics included: whoever
    /// deletes a topic tells the name servers so.
    fn changed(&mut self, broker: &Broker) -> Topics {
        let (now, version) = broker.topics();
        let configs = changed(&self.topics, &now);
        self.topics = now;
        Topics { configs, version }
    }
}

fn changed(before: &[Arc<TopicConfig>], now: &[Arc<TopicConfig>]) -> Vec<Arc<TopicConfig>> {
    let mut before = before.iter().peekable();
    let mut is_known = |config: &&Arc<TopicConfig>| {
        while before.next_if(|old| old.name < config.name).is_some() {}
        before
            .peek()
            .is_some_and(|old| Arc::ptr_eq(old, config) || ***old == ***config)
    };
    now.iter().filter(|config| !is_known(config)).cloned().collect()
}

/// A broker that may not be read or written takes that from its topics; any other leaves them all their bits.
pub(crate) fn shown_perm(topic_perm: u32, broker_perm: u32) -> i32 {
    let unrestricted = perm::is_readable(broker_perm) && perm::is_writable(broker_perm);
    let shown = if unrestricted {
        topic_perm
    } else {
        topic_perm & broker_perm
    };
    i32::try_from(shown).unwrap_or(0)
}

fn registration(broker: &Broker, topics: &Topics) -> Command {
    let options = broker.options();
    let bodies = topics.configs.iter().map(|topic| {
        let mut body = topic_body(topic);
        body.perm = shown_perm(topic.perm, options.perm);
        body
    });
    let body = RegisterBrokerBody {
        filter_server_list: Vec::new(),
        topic_config_table: topics_body(bodies.collect(), topics.version),
    };
    let address = options.store_host.to_string();
    Command::request(RequestCode::REGISTER_BROKER, 0)
        .with_fields(&RegisterBrokerHeader {
            broker_name: &options.broker_name,
            broker_addr: &address,
            cluster_name: &options.cluster_name,
            ha_server_addr: &address,
            broker_id: i64::try_from(options.broker_id).unwrap_or(i64::MAX),
            heartbeat_timeout_ms: None,
            enable_acting_master: Some(false),
            compressed: false,
            body_crc32: 0,
            zone_name: None,
        })
        .with_body(body.encode())
}

async fn leave(broker: &Broker, link: &Link) {
    let options = broker.options();
    let request = Command::request(RequestCode::UNREGISTER_BROKER, 0).with_fields(&BrokerIdentityHeader {
        broker_name: &options.broker_name,
        broker_addr: &options.store_host.to_string(),
        cluster_name: &options.cluster_name,
        broker_id: i64::try_from(options.broker_id).unwrap_or(i64::MAX),
    });
    if let Err(error) = link.call(request, LEAVE_TIMEOUT).await {
        tracing::debug!(%error, "a name server was not told that the broker leaves");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(topics: &[(&str, u32)]) -> Vec<Arc<TopicConfig>> {
        topics
            .iter()
            .map(|&(name, queues)| Arc::new(TopicConfig::new(name, queues)))
            .collect()
    }

    #[test]
    fn only_what_is_new_or_different_is_told() {
        let before = table(&[("a", 1), ("b", 1), ("d", 1)]);
        let now = table(&[("a", 1), ("b", 2), ("c", 1), ("e", 1)]);
        let told = changed(&before, &now);
        let names: Vec<&str> = told.iter().map(|topic| &*topic.name).collect();
        assert_eq!(names, ["b", "c", "e"]);
        assert!(changed(&now, &now).is_empty());
        assert_eq!(changed(&[], &now).len(), 4);
    }

    #[test]
    fn only_a_restricted_broker_changes_what_topics_show() {
        assert_eq!(shown_perm(7, 6), 7);
        assert_eq!(shown_perm(7, 4), 4);
        assert_eq!(shown_perm(6, 0), 0);
    }
}
