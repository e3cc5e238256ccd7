//! Sends to a topic that has quotas, at times more than it may.

use super::sends::Sends;
use super::{Client, Context};
use crate::ledger::{Content, Ledger, MessageKind};
use crate::wire::{Reply, RequestId};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;
/// The topic; it has one queue.
pub(crate) const TOPIC: &str = "metered";
/// The group of those who send to it, which has a quota of its own for each client.
pub(crate) const GROUP: &str = "metered-producers";

/// A producer that is held back.
#[derive(Debug, Default)]
pub(super) struct Metered {
    left: u32,
    sends: Sends,
}

impl Client for Metered {
    fn begins(&mut self, context: &mut Context<'_>) {
        *self = Self {
            left: context.random.below(40) as u32,
            ..Self::default()
        };
        context.remind(0, NEXT);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == AGAIN {
            return self.sends.again(context);
        }
        if self.left == 0 || context.is_draining() {
            return;
        }
        self.left -= 1;
        let body_size = context.random.between(1, 200) as usize;
        let message = context.scene.ledger.create(|id| Content {
            id,
            kind: MessageKind::Plain,
            topic: TOPIC,
            queue_id: 0,
            tag: "m",
            body_size,
        });
        self.sends.send(message, context);
        // In bursts.
        let pause_ms = if context.random.once_in(6) { 6_000 } else { 200 };
        let after_ms = context.random.between(0, pause_ms);
        context.remind(after_ms, NEXT);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        self.sends.answered(id, &reply, AGAIN, context);
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0
    }
}
