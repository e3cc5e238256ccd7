//! Looks up what was acknowledged: by key and by its place in the log.

use super::{Client, Context, PATIENCE_MS, batches};
use crate::ledger::{MessageId, MessageKind, SCRATCH_TOPIC};
use crate::wire::{Reply, Request, RequestId};

/// Somebody who looks things up.
#[derive(Debug, Default)]
pub(super) struct Reader;

impl Client for Reader {
    fn begins(&mut self, context: &mut Context<'_>) {
        context.remind(500, 0);
    }

    fn reminded(&mut self, _what: u32, context: &mut Context<'_>) {
        if context.is_draining() {
            return;
        }
        let count = context.scene.ledger.messages().len() as u64;
        let id = context.random.below(count) as MessageId;
        if count > 0 && context.scene.ledger.message(id).stored.is_some() {
            let content = &context.scene.ledger.message(id).content;
            // What waits for something has its key elsewhere, and a topic that was deleted has none.
            let is_plain = match content.kind {
                MessageKind::Plain | MessageKind::Ordered { .. } => content.topic != SCRATCH_TOPIC,
                MessageKind::Urgent { .. } => true,
                // One that stays in its batch is found by the batch's key.
                MessageKind::Batched { .. } => content.topic == batches::TOPIC,
                _ => false,
            };
            let request = if is_plain && context.random.once_in(2) {
                Request::FindByKey(id)
            } else {
                Request::ReadAt(id)
            };
            context.ask(request, PATIENCE_MS);
        }
        if context.random.once_in(3) {
            let number = context.random.bits();
            context.ask(Request::Survey(number), PATIENCE_MS);
        }
        let after_ms = context.random.between(10, 1_200);
        context.remind(after_ms, 0);
    }

    fn answered(&mut self, _id: RequestId, _reply: Reply, _context: &mut Context<'_>) {}
}
