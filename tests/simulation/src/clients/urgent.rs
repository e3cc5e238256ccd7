//! Sends messages with a priority, and now and then one without to the same topic, which does not take it.

use super::sends::Sends;
use super::{Client, Context};
use crate::ledger::{Content, Ledger, MessageKind, Misfit};
use crate::wire::{Reply, RequestId};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;
/// Queues of the topic: the higher the more urgent.
pub const QUEUES: i32 = 3;

/// A producer of urgent messages.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    left: u32,
    sends: Sends,
}

impl Client for Urgent {
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
        let kind = if context.random.once_in(8) {
            MessageKind::Misfit(Misfit::Type)
        } else {
            // Some are more urgent than there are queues.
            MessageKind::Urgent {
                priority: context.random.below(QUEUES as u64 + 2) as u32,
            }
        };
        // Where it says that it goes does not matter.
        let queue_id = context.random.between(0, i64::from(QUEUES) - 1) as i32;
        let body_size = context.random.between(1, 400) as usize;
        let message = context.scene.ledger.create(|id| Content {
            id,
            kind,
            topic: "urgent",
            queue_id,
            tag: "u",
            body_size,
        });
        self.sends.send(message, context);
        let after_ms = context.random.between(0, 1_500);
        context.remind(after_ms, NEXT);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        self.sends.answered(id, &reply, AGAIN, context);
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0
    }
}
