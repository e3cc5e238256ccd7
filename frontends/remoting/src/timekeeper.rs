//! Gives the broker its time: it starts no thread and no timer of its own.

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::Broker;
use tokio_util::sync::CancellationToken;

use crate::events::BrokerEvents;

/// The longest sleep: a wall clock that is set forward must not delay what is due by more.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Does the broker's periodic work, delivers its timers, delivers again what was not acknowledged, and asks for its transactions when they are due, until `shutdown`. `events` must be the
/// broker's listener.
pub async fn keep_time(broker: Arc<Broker>, events: Arc<BrokerEvents>, shutdown: CancellationToken) {
    let mut timers = events.timers();
    loop {
        let next_tick_ms = broker.tick();
        let mut next_ms = next_tick_ms;
        if let Some(due_ms) = next_due_ms(&broker) {
            next_ms = next_ms.min(due_ms);
            if due_ms <= broker.now_ms() {
                let working = Arc::clone(&broker);
                // The records may have left the memory.
                let worked = tokio::task::spawn_blocking(move || {
                    let next_timer_ms = earlier(working.deliver_due(), working.redeliver_due());
                    earlier(next_timer_ms, working.check_transactions())
                });
                next_ms = match worked.await {
                    Ok(next) => next.map_or(next_tick_ms, |due_ms| due_ms.min(next_tick_ms)),
                    Err(error) => {
                        tracing::error!(%error, "what is due could not be done");
                        next_tick_ms
                    }
                };
            }
        }
        let sleep_ms = next_ms.saturating_sub(broker.now_ms()).max(0);
        let sleep = Duration::from_millis(u64::try_from(sleep_ms).unwrap_or(0)).min(SLEEP_MAX);
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            // The sender lives as long as `events`.
            _ = timers.changed() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

fn next_due_ms(broker: &Broker) -> Option<i64> {
    let deliveries = earlier(broker.next_timer_ms(), broker.next_redelivery_ms());
    earlier(deliveries, broker.next_transaction_check_ms())
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
