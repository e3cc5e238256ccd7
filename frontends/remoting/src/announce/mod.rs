//! A broker makes itself known to name servers: the one in this process, others over the network, or both.

mod local;
mod remote;
mod told;

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Broker;
use kourou_broker::topic::perm;
use kourou_nameserver::NameServer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::events::BrokerEvents;
use told::Told;

/// How often a broker says that it is there.
const PERIOD: Duration = Duration::from_secs(30);
/// Changes that come faster than this are told together.
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
        local::register(&broker, &names, &told.all(&broker));
        let options = broker.options();
        events.tell(Arc::clone(&names), options.broker_name.clone(), options.perm);
        tasks.spawn(local::keep(
            Arc::clone(&broker),
            names,
            told,
            changes,
            shutdown.clone(),
        ));
    }
    for address in to.remote {
        tasks.spawn(remote::keep(
            Arc::clone(&broker),
            address,
            events.topics(),
            shutdown.clone(),
        ));
    }
    while tasks.join_next().await.is_some() {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_restricted_broker_changes_what_topics_show() {
        assert_eq!(shown_perm(7, 6), 7);
        assert_eq!(shown_perm(7, 4), 4);
        assert_eq!(shown_perm(6, 0), 0);
    }
}
