//! Says, once each time, that the log takes no more messages, or takes them again.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Broker;
use kourou_engine::Health;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Watches until it is dropped.
pub(super) async fn watch(broker: Arc<Broker>) {
    let mut last = Health::Running;
    loop {
        let now = broker.engine().health();
        report(&last, &now);
        last = now;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn report(last: &Health, now: &Health) {
    match (last, now) {
        (Health::Running, Health::Full) => {
            tracing::error!(
                "the disk is full: sends are refused until there is room; reads and offsets go on"
            );
        }
        (Health::Full, Health::Running) => tracing::info!("there is room on the disk again: sends are taken"),
        (Health::Running | Health::Full, Health::Stopped(reason)) => {
            tracing::error!("{reason}; until then sends are refused and reads go on");
        }
        _ => {}
    }
}
