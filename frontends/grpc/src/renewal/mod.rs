//! Messages that push consumers have, renewed for as long as their client is there: it says of each that it is done, and need not say
//! that it is not.
//!
//! ```text
//!  told to the client --keep--> Table --shortly before its time is over--> Broker::renew, under the handle that the client has
//!       acknowledged, given another time, dead: --forget--> gone from the table
//!       its client is gone: --abandon--> it comes again in a second
//! ```
//!
//! The table is in memory alone. After a restart of the broker what was out is out until its time is over, and its handles are good.

mod table;

use std::sync::Arc;
use std::time::Duration;

use kourou_broker::delivery::{DeliveryError, Handle};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::receive;
use crate::port::Port;
use table::{Due, Table};

/// A message is renewed so long before its time is over, or sooner if its time is short.
const AHEAD_MS_MAX: i64 = 10_000;
/// How long the first renewals are for, in minutes; further ones are as long as the last.
const TIMES_MIN: [i64; 6] = [1, 3, 5, 10, 30, 60];
/// For so long after it was handed out a message is renewed.
const RENEWED_FOR_MS: i64 = 3 * 3_600_000;
/// So soon a renewal is tried again that the log did not take.
const RETRY_MS: i64 = 1_000;
/// So often a renewal is tried.
const TRIES_MAX: u8 = 3;

/// How long after it was handed out for `invisible_ms` a message is to be renewed.
fn renewal_after_ms(invisible_ms: i64) -> i64 {
    invisible_ms - AHEAD_MS_MAX.min(invisible_ms / 6)
}

/// What is renewed.
#[derive(Debug)]
pub(crate) struct Renewals {
    table: Mutex<Table>,
    /// There is something to be renewed earlier than before.
    sooner: Notify,
}

impl Renewals {
    pub(crate) fn new(per_client_max: usize) -> Self {
        Self {
            table: Mutex::new(Table::new(per_client_max)),
            sooner: Notify::new(),
        }
    }

    /// Whether a client has as many messages as may be renewed for it.
    pub(crate) fn is_full(&self, client_id: &str) -> bool {
        self.table.lock().is_full(client_id)
    }

    /// A client has been given a message that was tried `attempt` times.
    pub(crate) fn keep(&self, client_id: &Arc<str>, handle: Handle, attempt: u32) {
        let due_ms = handle
            .pop_ms
            .saturating_add(renewal_after_ms(handle.invisible_ms));
        if self.table.lock().keep(client_id, handle, attempt, due_ms) {
            self.sooner.notify_one();
        }
    }

    /// Somebody has said what becomes of a message: it is not renewed any more.
    pub(crate) fn forget(&self, handle: &Handle) {
        self.table.lock().forget(handle);
    }

    /// A client is gone: what it was given goes to others soon.
    pub(crate) fn abandon(&self, port: &Port, client_id: &str) {
        let handles = self.table.lock().take_of(client_id);
        for handle in handles {
            port.broker
                .renew(&handle, receive::UNDELIVERED_MS, move |renewed| {
                    if let Err(error) = renewed {
                        // It comes again all the same, when its time is over.
                        tracing::debug!(%error, "a message of a client that is gone waits for longer");
                    }
                });
        }
    }

    /// Renews what is due, for as long as it is polled.
    pub(crate) async fn run(port: Arc<Port>) {
        loop {
            let next_ms = port.renewals.table.lock().next_due_ms();
            let sleep = match next_ms {
                Some(next_ms) => {
                    let left_ms = next_ms.saturating_sub(port.broker.now_ms());
                    Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
                }
                None => Duration::MAX,
            };
            tokio::select! {
                () = port.renewals.sooner.notified() => continue,
                () = tokio::time::sleep(sleep) => {}
            }
            port.renew_due();
        }
    }
}

impl Port {
    fn renew_due(self: &Arc<Self>) {
        let now_ms = self.broker.now_ms();
        let due = self.renewals.table.lock().take_due(now_ms);
        for Due {
            id,
            client_id,
            handle,
            renewals,
            attempt,
        } in due
        {
            if !self.clients.is_connected(&client_id) {
                // Nothing tells when it comes back; what it has, others can have.
                self.renewals.forget(&handle);
                continue;
            }
            let is_last = now_ms.saturating_sub(handle.pop_ms) >= RENEWED_FOR_MS;
            let invisible_ms = if is_last {
                receive::retry_pause_ms(attempt)
            } else {
                let step = TIMES_MIN.get(usize::from(renewals)).or(TIMES_MIN.last());
                step.map_or(60_000, |minutes| minutes * 60_000)
            };
            let port = Arc::clone(self);
            self.broker.renew(&handle, invisible_ms, move |renewed| {
                let mut table = port.renewals.table.lock();
                match renewed {
                    Ok(()) if is_last => table.remove(id),
                    Ok(()) => {
                        let next_ms = port
                            .broker
                            .now_ms()
                            .saturating_add(renewal_after_ms(invisible_ms));
                        table.renewed(id, next_ms);
                        port.renewals.sooner.notify_one();
                    }
                    Err(DeliveryError::Store(error)) => {
                        tracing::debug!(%error, "a renewal is tried again");
                        let next_ms = port.broker.now_ms().saturating_add(RETRY_MS);
                        table.failed(id, next_ms, TRIES_MAX);
                        port.renewals.sooner.notify_one();
                    }
                    // It is out no more.
                    Err(_) => table.remove(id),
                }
            });
        }
    }
}
