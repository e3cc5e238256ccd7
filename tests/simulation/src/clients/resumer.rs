//! An administrator who finds transactions that were given up because nobody decided them, and makes them pending again.

use std::collections::BTreeMap;

use kourou_broker::receive::{InlineSubscription, PullRequest};
use kourou_engine::record::RecordView;

use super::{Client, Context, PATIENCE_MS};
use crate::ledger::{Ledger, MessageId};
use crate::message;
use crate::wire::{Reply, Request, RequestId};

const LOOK: u32 = 0;
/// From here on, another attempt at what is kept under the number above this.
const AGAIN: u32 = 16;
const ATTEMPTS_MAX: u32 = 5;
/// Where transactions are that were given up; it has one queue.
const TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

#[derive(Debug, Clone, Copy)]
struct GivenUp {
    message: MessageId,
    position: u64,
    attempts: u32,
}

/// Somebody who resumes transactions.
#[derive(Debug, Default)]
pub(super) struct Resumer {
    offset: i64,
    look: Option<RequestId>,
    open: BTreeMap<RequestId, GivenUp>,
    later: BTreeMap<u32, GivenUp>,
    next: u32,
}

impl Resumer {
    fn look(&mut self, context: &mut Context<'_>) {
        let pull = PullRequest {
            group: "resumers".into(),
            topic: TOPIC.into(),
            queue_id: 0,
            offset: self.offset,
            messages_max: 16,
            commit_offset: None,
            subscription: Some(InlineSubscription::default()),
            sub_version: 0,
        };
        self.look = Some(context.ask(Request::Pull { pull, hold_ms: 0 }, PATIENCE_MS));
    }

    fn resume(&mut self, one: GivenUp, context: &mut Context<'_>) {
        let request = Request::Resume {
            message: one.message,
            position: one.position,
        };
        let id = context.ask(request, PATIENCE_MS);
        self.open.insert(id, one);
    }
}

impl Client for Resumer {
    fn begins(&mut self, context: &mut Context<'_>) {
        // It begins anew, and asks again for what was resumed before.
        *self = Self::default();
        context.remind(2_000, LOOK);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == LOOK {
            return self.look(context);
        }
        if let Some(one) = self.later.remove(&(what - AGAIN)) {
            self.resume(one, context);
        }
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        if self.look == Some(id) {
            self.look = None;
            if let Reply::Pulled { records, place } = &reply {
                self.offset = place.next_offset as i64;
                for view in records.iter().filter_map(|record| RecordView::parse(record).ok()) {
                    if let Some(message) = message::id_of(view.body()) {
                        let position = view.position();
                        let one = GivenUp {
                            message,
                            position,
                            attempts: 1,
                        };
                        self.resume(one, context);
                    }
                }
            }
            if let Reply::Nothing { place, .. } = &reply {
                self.offset = place.next_offset as i64;
            }
            return context.remind(5_000, LOOK);
        }
        let Some(one) = self.open.remove(&id) else { return };
        if matches!(reply, Reply::Lost | Reply::Refused { .. }) && one.attempts < ATTEMPTS_MAX {
            let number = self.next;
            self.next += 1;
            let attempts = one.attempts + 1;
            self.later.insert(number, GivenUp { attempts, ..one });
            let after_ms = context.random.between(100, 2_000);
            context.remind(after_ms, AGAIN + number);
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.open.is_empty() && self.later.is_empty()
    }
}
