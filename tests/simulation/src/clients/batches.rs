//! Sends several messages at once, to a topic that stores each by itself and to one that keeps them together; and now and then what is
//! no batch.

use std::collections::BTreeMap;

use super::{Client, Context, PATIENCE_MS};
use crate::ledger::{Content, Ledger, MessageId, MessageKind, Misfit};
use crate::wire::{BatchHarm, Reply, Request, RequestId};

const NEXT: u32 = 0;
/// From here on, another attempt at the batch whose first message has the number above this.
const AGAIN: u32 = 16;
const ATTEMPTS_MAX: u32 = 4;
/// Where messages of batches are stored each by itself.
pub const TOPIC: &str = "batches";
/// Queues of that topic.
pub const QUEUES: i32 = 2;
/// Where batches stay together; it has one queue.
pub const INNER_TOPIC: &str = "batches-whole";

/// A producer of batches.
#[derive(Debug, Default)]
pub(super) struct Batches {
    left: u32,
    open: BTreeMap<RequestId, (Vec<MessageId>, u32)>,
    later: BTreeMap<MessageId, (Vec<MessageId>, u32)>,
}

impl Batches {
    fn next(&mut self, context: &mut Context<'_>) {
        if self.left == 0 || context.is_draining() {
            return;
        }
        self.left -= 1;
        let (topic, queues) = *context.random.pick(&[(TOPIC, QUEUES), (INNER_TOPIC, 1)]);
        let queue_id = context.random.between(0, i64::from(queues) - 1) as i32;
        let harms = [
            BatchHarm::Cut,
            BatchHarm::Empty,
            BatchHarm::Delayed,
            BatchHarm::Half,
        ];
        let harm = context.random.once_in(8).then(|| *context.random.pick(&harms));
        let of = context.random.between(1, 12) as u32;
        let first = context.scene.ledger.messages().len() as MessageId;
        let mut messages = Vec::new();
        for at in 0..of {
            let body_size = context.random.between(1, 300) as usize;
            let message = context.scene.ledger.create(|id| Content {
                id,
                kind: match harm {
                    None => MessageKind::Batched { first, at, of },
                    Some(_) => MessageKind::Misfit(Misfit::Batch),
                },
                topic,
                queue_id,
                tag: "b",
                body_size,
            });
            messages.push(message);
        }
        if harm.is_some() {
            context.ask(Request::SendBatch { messages, harm }, PATIENCE_MS);
        } else {
            self.attempt(messages, 1, context);
        }
        let after_ms = context.random.between(0, 8_000);
        context.remind(after_ms, NEXT);
    }

    fn attempt(&mut self, messages: Vec<MessageId>, attempt: u32, context: &mut Context<'_>) {
        let request = Request::SendBatch {
            messages: messages.clone(),
            harm: None,
        };
        let id = context.ask(request, PATIENCE_MS);
        self.open.insert(id, (messages, attempt));
    }
}

impl Client for Batches {
    fn begins(&mut self, context: &mut Context<'_>) {
        *self = Self {
            left: context.random.below(20) as u32,
            ..Self::default()
        };
        context.remind(0, NEXT);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == NEXT {
            return self.next(context);
        }
        if let Some((messages, attempt)) = self.later.remove(&(what - AGAIN)) {
            self.attempt(messages, attempt, context);
        }
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        let Some((messages, attempt)) = self.open.remove(&id) else {
            return;
        };
        if matches!(reply, Reply::Sent(_)) || attempt >= ATTEMPTS_MAX && !context.is_draining() {
            return;
        }
        let first = messages[0];
        self.later.insert(first, (messages, attempt + 1));
        let after_ms = context.random.between(1, 1_500);
        context.remind(after_ms, AGAIN + first);
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.open.is_empty() && self.later.is_empty()
    }
}
