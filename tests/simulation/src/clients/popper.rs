//! Consumes by pop: each message is its own for a time, and is acknowledged, given another time, or left to come again. Some pop by
//! priority, and give up what they do not want.

use std::collections::BTreeMap;

use kourou_broker::delivery::{PopRequest, PopStart};
use kourou_broker::receive::InlineSubscription;

use super::verdicts::Verdicts;
use super::{Client, Context, PATIENCE_MS};
use crate::ledger::Ledger;
use crate::wire::{Reply, Request, RequestId};

const POP: u32 = 0;
const HOLD_MS: i64 = 10_000;
const INVISIBLE_MS_DRAINING: i64 = 20_000;

/// A member of a group that pops.
#[derive(Debug)]
pub(super) struct Popper {
    group: &'static str,
    topic: &'static str,
    in_order: bool,
    pops: BTreeMap<RequestId, PopRequest>,
    verdicts: Verdicts,
    attempts: u32,
}

impl Popper {
    /// A member of `group`, which pops `topic`.
    pub(super) fn new(group: &'static str, topic: &'static str, in_order: bool) -> Self {
        Self {
            group,
            topic,
            in_order,
            pops: BTreeMap::new(),
            verdicts: Verdicts::default(),
            attempts: 0,
        }
    }

    /// One that also gives messages up, asks for more time and puts off what it has not tried.
    pub(super) fn choosy(group: &'static str, topic: &'static str) -> Self {
        Self {
            verdicts: Verdicts::choosy(),
            ..Self::new(group, topic, false)
        }
    }

    fn pop(&mut self, context: &mut Context<'_>) {
        let invisible_ms = if context.is_draining() {
            INVISIBLE_MS_DRAINING
        } else {
            *context.random.pick(&[1, 700, 4_000, 15_000])
        };
        self.attempts += 1;
        let attempt_id = if self.in_order {
            format!("{}-{}", context.me(), self.attempts)
        } else {
            String::new()
        };
        let pop = PopRequest {
            group: self.group.into(),
            topic: self.topic.into(),
            queue_id: -1,
            messages_max: context.random.between(1, 8) as i32,
            invisible_ms,
            start: PopStart::Min,
            subscription: InlineSubscription::default(),
            ordered: self.in_order,
            attempt_id: attempt_id.as_str().into(),
        };
        self.ask_pop(pop, context);
    }

    fn ask_pop(&mut self, pop: PopRequest, context: &mut Context<'_>) {
        let request = Request::Pop {
            pop: pop.clone(),
            hold_ms: HOLD_MS,
        };
        let id = context.ask(request, HOLD_MS + PATIENCE_MS);
        self.pops.insert(id, pop);
    }
}

impl Client for Popper {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.pops.clear();
        self.verdicts.forget();
        context.remind(5, POP);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == POP {
            return self.pop(context);
        }
        self.verdicts.reminded(what, context);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        match (self.pops.remove(&id), reply) {
            (None, reply) => self.verdicts.answered(id, &reply, context),
            (Some(pop), Reply::Popped(popped)) => {
                self.verdicts.given(popped.handles(&pop.group).collect(), context);
                let after_ms = context.random.between(0, 400);
                context.remind(after_ms, POP);
            }
            (Some(pop), Reply::Lost) if self.in_order => self.ask_pop(pop, context),
            (Some(_), _) => {
                let after_ms = context.random.between(50, 1_500);
                context.remind(after_ms, POP);
            }
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.verdicts.has_finished()
    }
}
