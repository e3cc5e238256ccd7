//! Batches: several messages that are sent at once.

use std::collections::BTreeMap;

use kourou_broker::send::SendReceipt;
use kourou_engine::record::RecordView;

use super::{Ledger, MessageId, MessageKind, Shown, Stored};
use crate::batch;
use crate::promise::Promise;

impl Ledger {
    /// The broker says that a batch is stored.
    pub fn sent_batch(&mut self, messages: &[MessageId], receipt: &SendReceipt) {
        let positions = &receipt.batch_positions;
        if !receipt.is_inner_batch && positions.len() != messages.len() {
            let what = format!(
                "a batch of {} messages is at {} places",
                messages.len(),
                positions.len()
            );
            return self.broken(Promise::Batches, what);
        }
        for (at, id) in messages.iter().enumerate() {
            let stored = Stored {
                queue_id: receipt.queue_id,
                offset: receipt.queue_offset + at as u64,
                position: positions.get(at).copied().unwrap_or(receipt.position),
                recall_handle: String::new(),
            };
            self.is_stored(*id, stored);
        }
    }

    /// Somebody is given a record that is a batch. Whose messages are in it; none if a promise is broken.
    pub fn seen_batch(&mut self, view: &RecordView<'_>) -> Vec<MessageId> {
        let messages = batch::messages(view.body());
        if messages.len() != view.offsets() as usize {
            let what = format!(
                "the batch at position {} takes {} offsets and has {} messages",
                view.position(),
                view.offsets(),
                messages.len()
            );
            self.broken(Promise::Batches, what);
            return Vec::new();
        }
        let mut ids = Vec::with_capacity(messages.len());
        for (at, inner) in messages.iter().enumerate() {
            let shown = Shown {
                topic: view.topic(),
                queue_id: view.queue_id(),
                offset: view.queue_offset() + at as u64,
                position: view.position(),
                body: inner.body,
                unique_key: batch::property(inner.properties, "UNIQ_KEY"),
                tag: batch::property(inner.properties, "TAGS"),
            };
            ids.extend(self.shown(&shown));
        }
        ids
    }

    /// All queues have been read: each batch is there as a whole and in one piece, or not at all.
    pub fn check_batches(&mut self) {
        let mut batches: BTreeMap<MessageId, Vec<MessageId>> = BTreeMap::new();
        for known in &self.messages {
            if let MessageKind::Batched { first, .. } = known.content.kind {
                batches.entry(first).or_default().push(known.content.id);
            }
        }
        for (first, members) in batches {
            let places: Vec<_> = members
                .iter()
                .filter_map(|id| self.message(*id).places.first())
                .collect();
            // One that is stored twice is in two pieces, and what has expired may not have been seen.
            let is_told = members.iter().any(|id| self.message(*id).forgotten);
            if is_told || places.is_empty() || self.expired_below > 0 && places.len() < members.len() {
                continue;
            }
            let is_whole = places.len() == members.len();
            let in_one_piece = places.windows(2).all(|pair| {
                (&pair[0].topic, pair[0].queue_id, pair[0].offset + 1)
                    == (&pair[1].topic, pair[1].queue_id, pair[1].offset)
            });
            if !is_whole || !in_one_piece {
                let what = format!(
                    "of the batch {first} with {} messages these are there: {places:?}",
                    members.len()
                );
                return self.broken(Promise::Batches, what);
            }
        }
    }
}
