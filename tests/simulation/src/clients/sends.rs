//! Sends that are tried again until they are acknowledged, or have been tried often enough.

use std::collections::BTreeMap;

use kourou_broker::send::SendReceipt;

use super::{Context, PATIENCE_MS};
use crate::ledger::MessageId;
use crate::wire::{Reply, Request, RequestId};

const ATTEMPTS_MAX: u32 = 4;
/// When everybody finishes, a message is tried until it is there.
const ATTEMPTS_MAX_DRAINING: u32 = 40;

/// Sends under way.
#[derive(Debug, Default)]
pub(super) struct Sends {
    open: BTreeMap<RequestId, (MessageId, u32)>,
    later: Vec<(MessageId, u32)>,
}

/// What became of a send.
#[derive(Debug)]
pub(super) enum Sent {
    /// It is acknowledged.
    Stored(MessageId, Box<SendReceipt>),
    /// Nobody knows.
    Unknown,
}

impl Sends {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open.len() + self.later.len()
    }

    /// Sends a message for the first time.
    pub(super) fn send(&mut self, message: MessageId, context: &mut Context<'_>) {
        self.attempt(message, 1, context);
    }

    fn attempt(&mut self, message: MessageId, attempt: u32, context: &mut Context<'_>) {
        let id = context.ask(Request::Send(message), PATIENCE_MS);
        self.open.insert(id, (message, attempt));
    }

    /// An answer, if it is one to a send. What is tried again is tried by [`Sends::again`], of which the client must be
    /// reminded as `what`.
    pub(super) fn answered(
        &mut self,
        id: RequestId,
        reply: &Reply,
        what: u32,
        context: &mut Context<'_>,
    ) -> Option<Sent> {
        let (message, attempt) = self.open.remove(&id)?;
        if let Reply::Sent(receipt) = reply {
            return Some(Sent::Stored(message, Box::new(receipt.clone())));
        }
        let attempts_max = if context.is_draining() {
            ATTEMPTS_MAX_DRAINING
        } else {
            ATTEMPTS_MAX
        };
        if attempt >= attempts_max {
            return Some(Sent::Unknown);
        }
        self.later.push((message, attempt + 1));
        let after_ms = context.random.between(1, 1_500);
        context.remind(after_ms, what);
        None
    }

    /// Tries again what waits for that.
    pub(super) fn again(&mut self, context: &mut Context<'_>) {
        for (message, attempt) in std::mem::take(&mut self.later) {
            self.attempt(message, attempt, context);
        }
    }
}
