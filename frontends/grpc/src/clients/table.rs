//! The table of clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use kourou_broker::Broker;
use parking_lot::Mutex;

use super::GrpcClient;
use super::ended::Ended;
use crate::caller::Caller;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::wire::v2::Code;

/// The clients that have sent settings and are not gone.
#[derive(Debug)]
pub(crate) struct Clients {
    by_id: Mutex<HashMap<Arc<str>, Arc<GrpcClient>>>,
    ended: Mutex<Ended>,
    limits: Limits,
}

impl Clients {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            by_id: Mutex::default(),
            ended: Mutex::default(),
            limits,
        }
    }

    /// The client that calls, if it has sent settings.
    pub(crate) fn find(&self, caller: &Caller) -> Option<Arc<GrpcClient>> {
        let client = self.by_id.lock().get(caller.client_id.as_str()).cloned()?;
        client.heard(caller.peer);
        Some(client)
    }

    /// The client that calls, new or not.
    pub(crate) fn enter(&self, caller: &Caller) -> Result<Arc<GrpcClient>, Refusal> {
        if let Some(client) = self.find(caller) {
            return Ok(client);
        }
        let mut by_id = self.by_id.lock();
        if by_id.len() >= self.limits.clients_max {
            return Err(Refusal::new(
                Code::TooManyRequests,
                format!(
                    "{} clients are connected, no more are taken",
                    self.limits.clients_max
                ),
            ));
        }
        let id: Arc<str> = caller.client_id.as_str().into();
        let client = by_id
            .entry(Arc::clone(&id))
            .or_insert_with(|| GrpcClient::new(id, caller, self.limits));
        Ok(Arc::clone(client))
    }

    /// Whether a client has a stream.
    pub(crate) fn is_connected(&self, client_id: &str) -> bool {
        self.by_id
            .lock()
            .get(client_id)
            .is_some_and(|client| client.is_connected())
    }

    /// Whether this client has said that it ends, a moment ago.
    pub(crate) fn has_ended(&self, client_id: &str) -> bool {
        self.ended.lock().has(client_id, Instant::now())
    }

    /// A client says that it ends; it may be one that this life of the server has not met.
    pub(crate) fn ends(&self, client_id: &str) {
        self.ended.lock().note(client_id, Instant::now());
    }

    /// Forgets a client that has ended.
    pub(crate) fn leave(&self, client: &GrpcClient, broker: &Broker) {
        self.by_id.lock().remove(client.client_id());
        broker.channel_closed(client.channel_id());
    }

    /// Forgets the clients that have no stream and have not called for too long.
    pub(crate) fn expire(&self, broker: &Broker) {
        let now = Instant::now();
        let mut gone = Vec::new();
        self.by_id.lock().retain(|_, client| {
            let stays = client.is_connected() || client.silence(now) < self.limits.client_expiry;
            if !stays {
                gone.push(client.channel_id());
            }
            stays
        });
        for channel_id in gone {
            broker.channel_closed(channel_id);
        }
    }
}
