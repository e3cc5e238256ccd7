//! What the broker tells of itself, for tasks to wait on.

use kourou_broker::topic::Listener;
use tokio::sync::watch;

/// Hears the broker, see [`kourou_broker::Broker::set_listener`], and wakes the tasks that act on it: [`crate::announce`]
/// and [`crate::keep_time`].
#[derive(Debug)]
pub struct BrokerEvents {
    topics: watch::Sender<u64>,
    timer: watch::Sender<u64>,
}

impl Default for BrokerEvents {
    fn default() -> Self {
        Self {
            topics: watch::channel(0).0,
            timer: watch::channel(0).0,
        }
    }
}

impl BrokerEvents {
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
    fn topics_changed(&self) {
        bump(&self.topics);
    }

    fn timer_due(&self, _: i64) {
        bump(&self.timer);
    }
}
