//! Sends plain messages, several at a time; or one after the other, when their order matters.

use super::sends::{Sends, Sent};
use super::{Client, Context};
use crate::ledger::{Content, Ledger, MessageKind};
use crate::wire::{Reply, RequestId};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;
/// Queues of the topic.
pub const QUEUES: i32 = 4;

/// A producer.
#[derive(Debug)]
pub struct Producer {
    number: usize,
    in_order: bool,
    sequence: u32,
    left: u32,
    window: usize,
    sends: Sends,
}

impl Producer {
    /// The producer of that number.
    pub fn new(number: usize, in_order: bool) -> Self {
        Self {
            number,
            in_order,
            sequence: 0,
            left: 0,
            window: 1,
            sends: Sends::default(),
        }
    }
}

impl Client for Producer {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.sends = Sends::default();
        self.left = context.random.below(60) as u32;
        self.window = if self.in_order {
            1
        } else {
            context.random.between(1, 8) as usize
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
        if self.sends.count() < self.window {
            self.left -= 1;
            let kind = if self.in_order {
                self.sequence += 1;
                MessageKind::Ordered {
                    producer: self.number,
                    sequence: self.sequence,
                }
            } else {
                MessageKind::Plain
            };
            let queue_id = if self.in_order {
                self.number as i32 % QUEUES
            } else {
                context.random.between(-1, i64::from(QUEUES) - 1) as i32
            };
            let tag = *context.random.pick(&["a", "b"]);
            let body_size = if context.random.once_in(8) {
                context.random.between(2_000, 12_000)
            } else {
                context.random.between(1, 600)
            } as usize;
            let message = context.scene.ledger.create(|id| Content {
                id,
                kind,
                topic: "orders",
                queue_id,
                tag,
                body_size,
            });
            self.sends.send(message, context);
        }
        let pause_ms = if context.random.once_in(20) { 8_000 } else { 150 };
        let after_ms = context.random.between(0, pause_ms);
        context.remind(after_ms, NEXT);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        match self.sends.answered(id, &reply, AGAIN, context) {
            // Nothing is sent behind what may not be there.
            Some(Sent::Unknown) if self.in_order => self.left = 0,
            _ => {}
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0
    }
}
