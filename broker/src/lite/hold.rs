//! Held receives: clients that wait until one of their lite topics has something.

use std::fmt;
use std::sync::Arc;

use super::LiteTable;
use super::clients::{ClientKey, Wake};
use super::table::run;
use crate::broker::Broker;
use crate::delivery::{PopError, PopRequest};

/// Lite topics of a client that did not take what it was woken for of which others are told.
const PASSED_ON_MAX: usize = 64;

/// What became of a hold.
#[derive(Debug)]
pub enum LiteHold {
    /// It waits. Dropping the guard ends it; its `wake` runs at most once, and may still run while the guard is dropped.
    Held(LiteHoldGuard),
    /// As many are held as may be, of this client or of all.
    Full,
}

/// A hold that waits. Dropping it ends the hold.
pub struct LiteHoldGuard {
    broker: Arc<Broker>,
    group: Arc<str>,
    client_id: Arc<str>,
    id: u64,
}

impl fmt::Debug for LiteHoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiteHoldGuard")
            .field("group", &self.group)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Drop for LiteHoldGuard {
    fn drop(&mut self) {
        let key = ClientKey {
            group: &self.group,
            client_id: &self.client_id,
        };
        self.broker.state.lite.end_hold(key, self.id);
    }
}

impl Broker {
    /// Holds a receive that found nothing until one of the client's lite topics may have something; `wake` then runs once, and must
    /// be short and must not block. The caller looks once more as soon as it is held, keeps time, and drops the guard when it has
    /// waited long enough.
    ///
    /// # Errors
    /// If the request is one that a receive would refuse.
    pub fn hold_lite(
        self: &Arc<Self>,
        request: &PopRequest,
        client_id: &str,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<LiteHold, PopError> {
        let (topic, group) = self.admit_lite_popper(request)?;
        let limits = &self.options.limits;
        let key = ClientKey {
            group: &group.name,
            client_id,
        };
        let bounds = (limits.lite_holds_per_client_max, limits.pop_holds_max);
        let now_ms = self.clock.now_ms();
        let held = self
            .state
            .lite
            .hold(key, &topic.name, bounds, now_ms, Box::new(wake));
        let Some(id) = held else { return Ok(LiteHold::Full) };
        Ok(LiteHold::Held(LiteHoldGuard {
            broker: self.clone(),
            group: group.name.clone(),
            client_id: client_id.into(),
            id,
        }))
    }

    /// A client that may have been woken will not receive: others that subscribe to the same lite topics are woken in its place.
    pub fn pass_on_lite(&self, request: &PopRequest, client_id: &str) {
        let key = ClientKey {
            group: &request.group,
            client_id,
        };
        self.state.lite.pass_on(key);
    }

    /// Receives of lite topics that are held now.
    pub fn held_lite(&self) -> usize {
        self.state.lite.lock().waiting
    }
}

impl LiteTable {
    fn hold(
        &self,
        key: ClientKey<'_>,
        topic: &str,
        (of_client_max, of_all_max): (usize, usize),
        now_ms: i64,
        wake: Wake,
    ) -> Option<u64> {
        let id = self.next_hold();
        let mut lites = self.lock();
        if lites.waiting >= of_all_max {
            return None;
        }
        let no = lites.client(key, topic, now_ms);
        let client = lites.clients.get_mut(&no)?;
        if client.waiting.len() >= of_client_max {
            return None;
        }
        client.heard_ms = now_ms;
        client.waiting.push((id, wake));
        lites.waiting += 1;
        Some(id)
    }

    fn end_hold(&self, key: ClientKey<'_>, id: u64) {
        let mut lites = self.lock();
        let Some((no, client)) = lites.find(key) else {
            return;
        };
        let found = client.waiting.iter().position(|(held, _)| *held == id);
        let removed = found.map(|at| client.waiting.swap_remove(at));
        if removed.is_some() {
            lites.waiting -= 1;
        }
        lites.tidy(no);
        drop(lites);
        // What a wake-up owns may end other holds when it is dropped; not under the lock.
        drop(removed);
    }

    fn pass_on(&self, key: ClientKey<'_>) {
        let mut woken = Vec::new();
        let mut lites = self.lock();
        if let Some((_, client)) = lites.find(key) {
            let (topic, group) = (client.parent.clone(), client.name.group.clone());
            let ready: Vec<Arc<str>> = client.ready().take(PASSED_ON_MAX).cloned().collect();
            for name in ready {
                lites.mark_by_name(&topic, &name, Some(&group), &mut woken);
            }
        }
        drop(lites);
        run(woken);
    }

    /// Something has changed for a client, which may be waiting.
    pub(crate) fn wake_client(&self, group: &str, client_id: &str) {
        let mut woken = Vec::new();
        let mut lites = self.lock();
        if let Some((_, client)) = lites.find(ClientKey { group, client_id })
            && client.ready().next().is_some()
            && let Some((_, wake)) = client.waiting.pop()
        {
            woken.push(wake);
            lites.waiting -= 1;
        }
        drop(lites);
        run(woken);
    }
}
