//! Sends messages that are to be delivered later, and takes some of them back.

use std::collections::BTreeMap;

use kourou_broker::RecallRequest;

use super::sends::{Sends, Sent};
use super::{Client, Context, PATIENCE_MS};
use crate::ledger::{Content, Ledger, MessageId, MessageKind};
use crate::wire::{Reply, Request, RequestId};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;
/// From here on, a recall of the message whose number is above this.
const RECALL: u32 = 16;
/// Queues of the topic.
pub const QUEUES: i32 = 2;

/// A producer of timers.
#[derive(Debug, Default)]
pub struct Timers {
    left: u32,
    /// Whether some of its messages wait for an hour: the run takes as long then.
    looks_far_ahead: bool,
    sends: Sends,
    handles: BTreeMap<MessageId, String>,
    recalls: BTreeMap<RequestId, MessageId>,
}

impl Client for Timers {
    fn begins(&mut self, context: &mut Context<'_>) {
        *self = Self {
            left: context.random.below(40) as u32,
            looks_far_ahead: context.random.once_in(12),
            ..Self::default()
        };
        context.remind(0, NEXT);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        match what {
            AGAIN => self.sends.again(context),
            NEXT => self.next(context),
            recall => self.recall(recall - RECALL, context),
        }
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        // Whether a recall that nobody answered was done is for the ledger to find out.
        if self.recalls.remove(&id).is_some() {
            return;
        }
        if let Some(Sent::Stored(message, receipt)) = self.sends.answered(id, &reply, AGAIN, context)
            && !receipt.recall_handle.is_empty()
            && context.random.once_in(4)
        {
            self.handles.insert(message, receipt.recall_handle.clone());
            let after_ms = context.random.between(0, 20_000);
            context.remind(after_ms, RECALL + message);
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0 && self.recalls.is_empty()
    }
}

impl Timers {
    fn next(&mut self, context: &mut Context<'_>) {
        if self.left == 0 || context.is_draining() {
            return;
        }
        self.left -= 1;
        let kind = if context.random.once_in(3) {
            MessageKind::Level(context.random.between(1, 6) as i32)
        } else {
            let ahead_ms = match context.random.below(12) {
                0 if self.looks_far_ahead => 3_600_000,
                0 | 1 => 120_000,
                2 => 3,
                _ => 20_000,
            };
            let ahead_ms = context.random.between(1, ahead_ms);
            MessageKind::Timer {
                due_ms: context.scene.wall_ms() + ahead_ms,
            }
        };
        let queue_id = context.random.between(0, i64::from(QUEUES) - 1) as i32;
        let body_size = context.random.between(1, 500) as usize;
        let message = context.scene.ledger.create(|id| Content {
            id,
            kind,
            topic: "timers",
            queue_id,
            tag: "t",
            body_size,
        });
        self.sends.send(message, context);
        let after_ms = context.random.between(0, 900);
        context.remind(after_ms, NEXT);
    }

    fn recall(&mut self, message: MessageId, context: &mut Context<'_>) {
        let Some(handle) = self.handles.remove(&message) else {
            return;
        };
        let recall = RecallRequest {
            topic: "timers".to_owned(),
            handle,
        };
        let id = context.ask(Request::Recall { message, recall }, PATIENCE_MS);
        self.recalls.insert(id, message);
    }
}
