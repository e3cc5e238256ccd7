//! Administrates: makes, changes and deletes a topic that others do not depend on, changes a group, and sets offsets of a group
//! that expects it.

use kourou_broker::group::GroupConfig;
use kourou_broker::offset::ResetRequest;
use kourou_broker::topic::TopicConfig;

use super::sends::Sends;
use super::{Client, Context, PATIENCE_MS, PullGroup, producer};
use crate::ledger::{Content, Ledger, MessageKind, SCRATCH_TOPIC};
use crate::wire::{Reply, Request, RequestId};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;

/// An administrator.
#[derive(Debug, Default)]
pub(super) struct Admin {
    sends: Sends,
}

impl Client for Admin {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.sends = Sends::default();
        context.remind(1_000, NEXT);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == AGAIN {
            return self.sends.again(context);
        }
        if context.is_draining() {
            return;
        }
        match context.random.below(8) {
            0 => {
                let queues = context.random.between(1, 4) as u32;
                context.ask(
                    Request::PutTopic(TopicConfig::new(SCRATCH_TOPIC, queues)),
                    PATIENCE_MS,
                );
            }
            1 => {
                context.ask(Request::DeleteTopic(SCRATCH_TOPIC.to_owned()), PATIENCE_MS);
            }
            2 => {
                let group = GroupConfig {
                    retry_times_max: context.random.between(1, 16) as i32,
                    ..GroupConfig::new("scratch-group")
                };
                context.ask(Request::PutGroup(group), PATIENCE_MS);
            }
            3 | 4 => {
                let back_ms = context.random.between(-1_000, 60_000);
                let reset = ResetRequest {
                    group: PullGroup::Reset.name().into(),
                    topic: "orders".into(),
                    queue_id: context
                        .random
                        .once_in(2)
                        .then(|| context.random.below(producer::QUEUES as u64) as u32),
                    offset: None,
                    timestamp_ms: context.scene.wall_ms() - back_ms,
                    force: true,
                    as_list: false,
                };
                context.ask(Request::Reset(reset), PATIENCE_MS);
            }
            _ => {
                let body_size = context.random.between(1, 200) as usize;
                let message = context.scene.ledger.create(|id| Content {
                    id,
                    kind: MessageKind::Plain,
                    topic: SCRATCH_TOPIC,
                    queue_id: 0,
                    tag: "s",
                    body_size,
                });
                self.sends.send(message, context);
            }
        }
        let after_ms = context.random.between(100, 5_000);
        context.remind(after_ms, NEXT);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        self.sends.answered(id, &reply, AGAIN, context);
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0
    }
}
