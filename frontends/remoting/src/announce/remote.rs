//! A name server far away, ours or Apache's: told over one connection that lasts, because the broker's life in its table is
//! that of the connection.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Broker;
use kourou_proto::body::RegisterBrokerBody;
use kourou_proto::remoting::request::{BrokerIdentityHeader, RegisterBrokerHeader};
use kourou_proto::{Command, RequestCode, ResponseCode};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::told::{Told, Topics};
use super::{Due, shown_perm, until_due};
use crate::broker_port::{topic_body, topics_body};
use crate::client::Link;

/// How long a registration may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long saying good-bye may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before the next attempt after a failed one; it doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

pub(super) async fn keep(
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
