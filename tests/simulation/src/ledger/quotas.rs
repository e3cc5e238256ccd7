//! What may be sent to a topic, and received from it, within its quotas: to the message.
//!
//! A bucket holds a second's worth and fills by the time that passes. Of a send all buckets must have what it costs, and all give it
//! then; a pull needs one message's worth, and what it brings is taken, also if that is more than there is.

use std::collections::BTreeMap;

use super::Ledger;
use crate::promise::Promise;
use crate::wire::{ClientId, RequestId};

/// Messages a second that may be sent to the topic.
pub(crate) const SEND_PER_S: i64 = 5;
/// Messages a second that one client may send of it.
pub(crate) const CLIENT_PER_S: i64 = 3;
/// Messages a second that may be received from it.
pub(crate) const PULL_PER_S: i64 = 4;
/// A bucket is kept in thousandths.
const PARTS: i64 = 1_000;

#[derive(Debug, Clone)]
struct Bucket {
    per_s: i64,
    balance_parts: i64,
    at_ms: i64,
}

impl Bucket {
    fn full(per_s: i64, now_ms: i64) -> Self {
        Self {
            per_s,
            balance_parts: per_s * PARTS,
            at_ms: now_ms,
        }
    }

    fn has_one(&mut self, now_ms: i64) -> bool {
        let filled = self.balance_parts + (now_ms - self.at_ms) * self.per_s;
        self.balance_parts = filled.min(self.per_s * PARTS);
        self.at_ms = now_ms;
        self.balance_parts >= PARTS
    }
}

/// The buckets of the topic that has quotas.
#[derive(Debug, Default)]
pub struct QuotaLedger {
    topic: Option<Bucket>,
    clients: BTreeMap<ClientId, Bucket>,
    pulls: Option<Bucket>,
    /// Whether sends that are not answered had what they cost.
    open: BTreeMap<RequestId, (ClientId, bool)>,
}

impl QuotaLedger {
    /// The broker begins with full buckets.
    pub fn broker_started(&mut self) {
        *self = Self::default();
    }

    /// A send reaches the broker.
    pub fn send_arrives(&mut self, request: RequestId, client: ClientId, now_ms: i64) {
        let topic = self.topic.get_or_insert_with(|| Bucket::full(SEND_PER_S, now_ms));
        let of_client = self
            .clients
            .entry(client)
            .or_insert_with(|| Bucket::full(CLIENT_PER_S, now_ms));
        let is_there = topic.has_one(now_ms) & of_client.has_one(now_ms);
        self.open.insert(request, (client, is_there));
        self.give(client, is_there, -PARTS);
    }

    fn give(&mut self, client: ClientId, is_meant: bool, parts: i64) {
        if is_meant {
            for bucket in self.topic.iter_mut().chain(self.clients.get_mut(&client)) {
                bucket.balance_parts += parts;
            }
        }
    }
}

impl Ledger {
    /// The broker has taken a send, or refuses it for a quota.
    pub fn send_metered(&mut self, request: RequestId, is_taken: bool) {
        let Some((_, is_there)) = self.quotas.open.remove(&request) else {
            return;
        };
        if is_taken != is_there {
            let what = format!(
                "a send is {} by its quotas, which {} enough",
                said(is_taken),
                had(is_there)
            );
            self.broken(Promise::Refusals, what);
        }
    }

    /// A send is refused before its quotas are looked at.
    pub fn send_not_metered(&mut self, request: RequestId) {
        if let Some((client, is_there)) = self.quotas.open.remove(&request) {
            self.quotas.give(client, is_there, PARTS);
        }
    }

    /// A pull has brought so many messages, or is refused for the quota.
    pub fn pull_metered(&mut self, brought: Option<usize>) {
        let now_ms = self.now_ms;
        let pulls = &mut self.quotas.pulls;
        let pulls = pulls.get_or_insert_with(|| Bucket::full(PULL_PER_S, now_ms));
        let is_there = pulls.has_one(now_ms);
        pulls.balance_parts -= brought.unwrap_or(0) as i64 * PARTS;
        if brought.is_some() != is_there {
            let what = format!(
                "a pull is {} by its quota, which {} enough",
                said(brought.is_some()),
                had(is_there)
            );
            self.broken(Promise::Refusals, what);
        }
    }
}

fn said(is_taken: bool) -> &'static str {
    if is_taken { "let through" } else { "refused" }
}

fn had(is_there: bool) -> &'static str {
    if is_there { "have" } else { "have not" }
}
