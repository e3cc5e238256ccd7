//! Sends halves of transactions and decides them; or does not, is asked, and says what it would have said.

use std::collections::BTreeMap;

use kourou_broker::client::HeartbeatData;
use kourou_broker::transaction::{Decision, EndTransaction};

use super::sends::{Sends, Sent};
use super::{BEAT_MS, Client, Context, PATIENCE_MS, TRANSACTION_GROUP};
use crate::ledger::{Content, Ledger, MessageId, MessageKind};
use crate::wire::{Reply, Request, RequestId, Told};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;
const BEAT: u32 = 2;
const DECIDE: u32 = 16;
/// Queues of the topic.
pub const QUEUES: i32 = 2;

/// A producer of transactions.
#[derive(Debug, Default)]
pub struct Transactions {
    left: u32,
    sends: Sends,
    /// Halves that are to be decided, and where they are.
    halves: BTreeMap<MessageId, (i64, i64)>,
    ends: BTreeMap<RequestId, MessageId>,
}

impl Client for Transactions {
    fn begins(&mut self, context: &mut Context<'_>) {
        *self = Self {
            left: context.random.below(30) as u32,
            ..Self::default()
        };
        self.beat(context);
        context.remind(0, NEXT);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        match what {
            AGAIN => self.sends.again(context),
            NEXT => self.next(context),
            BEAT => self.beat(context),
            decide => {
                let message = decide - DECIDE;
                if let Some(at) = self.halves.remove(&message) {
                    self.decide(message, at, false, context);
                }
            }
        }
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        // A decision that was not heard of is asked for.
        if self.ends.remove(&id).is_some() {
            return;
        }
        if let Some(Sent::Stored(message, receipt)) = self.sends.answered(id, &reply, AGAIN, context)
            && !context.random.once_in(3)
        {
            let at = (receipt.position as i64, receipt.queue_offset as i64);
            self.halves.insert(message, at);
            let after_ms = context.random.between(0, 9_000);
            context.remind(after_ms, DECIDE + message);
        }
    }

    fn told(&mut self, told: Told, context: &mut Context<'_>) {
        let Told::Check {
            message,
            position,
            queue_offset,
            ..
        } = told
        else {
            return;
        };
        // Now and then it does not know yet.
        if context.is_draining() || !context.random.once_in(3) {
            self.decide(message, (position as i64, queue_offset as i64), true, context);
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0
    }
}

impl Transactions {
    fn beat(&mut self, context: &mut Context<'_>) {
        let data = HeartbeatData {
            client_id: format!("client-{}", context.me()),
            producer_groups: vec![TRANSACTION_GROUP.to_owned()],
            ..HeartbeatData::default()
        };
        context.ask(Request::Beat(data), PATIENCE_MS);
        // More often than real ones, so that one is there when somebody asks.
        let often = if context.is_draining() { 1 } else { 6 };
        context.remind(BEAT_MS / often, BEAT);
    }

    fn next(&mut self, context: &mut Context<'_>) {
        if self.left == 0 || context.is_draining() {
            return;
        }
        self.left -= 1;
        let decision = match context.random.below(10) {
            0 => None,
            1..=4 => Some(Decision::Rollback),
            _ => Some(Decision::Commit),
        };
        let queue_id = context.random.between(0, i64::from(QUEUES) - 1) as i32;
        let body_size = context.random.between(1, 500) as usize;
        let message = context.scene.ledger.create(|id| Content {
            id,
            kind: MessageKind::Half { decision },
            topic: "payments",
            queue_id,
            tag: "p",
            body_size,
        });
        self.sends.send(message, context);
        let after_ms = context.random.between(0, 1_500);
        context.remind(after_ms, NEXT);
    }

    fn decide(&mut self, message: MessageId, at: (i64, i64), from_check: bool, context: &mut Context<'_>) {
        let known = context.scene.ledger.message(message);
        let decision = match known.content.kind {
            MessageKind::Half {
                decision: Some(decision),
            } => decision,
            // Somebody has asked once more, so it has made up its mind.
            MessageKind::Half { decision: None } if known.is_resumed && message.is_multiple_of(2) => {
                Decision::Commit
            }
            MessageKind::Half { decision: None } if known.is_resumed => Decision::Rollback,
            _ => return,
        };
        let end = EndTransaction {
            group: TRANSACTION_GROUP.into(),
            position: at.0,
            queue_offset: at.1,
            decision,
            from_check,
        };
        let id = context.ask(Request::End { message, end }, PATIENCE_MS);
        self.ends.insert(id, message);
    }
}
