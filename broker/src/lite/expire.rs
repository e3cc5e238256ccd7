//! Lite topics that nobody sends to any more, and clients that are gone.

use std::sync::Arc;

use super::settings::expiry_ms;
use super::{ENDED, record};
use crate::broker::Broker;

/// Lite topics of one topic that are ended in one go; the others have to wait for the next.
const ENDED_MAX: usize = 65_536;
/// Lite topics that one record ends: applying it holds up the log for no longer.
const ENDED_PER_RECORD_MAX: usize = 1_024;

impl Broker {
    /// Ends lite topics that have been idle for as long as their topic says, and the subscriptions of clients that have not been
    /// heard for too long. What the log refuses is tried again the next time.
    pub(crate) fn expire_lite(self: &Arc<Self>, now_ms: i64) {
        for topic in self.state.lite.parents() {
            let config = self.state.topics.get(&topic);
            let Some(expiry_ms) = config.and_then(|config| expiry_ms(&config)) else {
                continue;
            };
            let before_ms = now_ms.saturating_sub(expiry_ms);
            let idle = self.state.lite.idle(&topic, before_ms, ENDED_MAX);
            for some in idle.chunks(ENDED_PER_RECORD_MAX) {
                let topic = topic.clone();
                self.append_state(ENDED, &record::ended(&topic, some), move |stored| {
                    if let Err(error) = stored {
                        tracing::debug!(%topic, %error, "lite topics that expired are still there");
                    }
                });
            }
        }
        let silent_ms = now_ms.saturating_sub(self.options.limits.client_expiry_ms);
        for (client, _) in self.state.lite.silent(silent_ms) {
            tracing::info!(
                client = %client.client_id, group = %client.group,
                "a client has not been heard for too long; its subscriptions to lite topics end"
            );
            self.leave_lite(&client.group, &client.client_id);
        }
    }
}
