//! What the broker tells of itself, for tasks to wait on.

use std::sync::{Arc, OnceLock};

use kourou_broker::topic::{Listener, TopicConfig};
use kourou_nameserver::{NameServer, QueueData};
use tokio::sync::watch;

use crate::announce::shown_perm;

/// Hears the broker, see [`kourou_broker::Broker::set_listener`], and wakes the tasks that act on it: [`crate::announce()`]
/// and [`crate::keep_time`].
#[derive(Debug)]
pub struct BrokerEvents {
    topics: watch::Sender<u64>,
    timer: watch::Sender<u64>,
    names: OnceLock<OwnNames>,
}

/// The name server in this process, and who the broker is to it.
#[derive(Debug)]
struct OwnNames {
    names: Arc<NameServer>,
    broker_name: String,
    broker_perm: u32,
}

impl Default for BrokerEvents {
    fn default() -> Self {
        Self {
            topics: watch::channel(0).0,
            timer: watch::channel(0).0,
            names: OnceLock::new(),
        }
    }
}

impl BrokerEvents {
    /// From now on this name server knows each topic before the send that made it is answered: a consumer may be started
    /// upon that answer, and some clients give up on a topic without a route.
    pub(crate) fn tell(&self, names: Arc<NameServer>, broker_name: String, broker_perm: u32) {
        // A second one would be told of changes by its task, as those in other processes are.
        let _ = self.names.set(OwnNames {
            names,
            broker_name,
            broker_perm,
        });
    }

    /// Changes of the topic table from now on.
    pub(crate) fn topics(&self) -> watch::Receiver<u64> {
        self.topics.subscribe()
    }

    /// Timers that are due earlier than any before, from now on.
    pub(crate) fn timers(&self) -> watch::Receiver<u64> {
        self.timer.subscribe()
    }
}

fn bump(sender: &watch::Sender<u64>) {
    sender.send_modify(|count| *count = count.wrapping_add(1));
}

impl Listener for BrokerEvents {
    fn topic_stored(&self, config: &TopicConfig) {
        if let Some(own) = self.names.get() {
            let queues = QueueData {
                broker_name: own.broker_name.clone(),
                read_queues: config.read_queues,
                write_queues: config.write_queues,
                perm: shown_perm(config.perm, own.broker_perm),
                sys_flag: config.sys_flag,
            };
            own.names.register_topic(&config.name, vec![queues]);
        }
    }

    fn topics_changed(&self) {
        bump(&self.topics);
    }

    fn timer_due(&self, _: i64) {
        bump(&self.timer);
    }
}
