//! Keeps groups: gives a new one the offsets of another, commits one durably, and deletes the group with what it has.

use super::{Client, Context, PATIENCE_MS, PullGroup, producer};
use crate::ledger::Ledger;
use crate::wire::{Reply, Request, RequestId};

const NEXT: u32 = 0;
/// The topic that offsets are of.
pub(crate) const TOPIC: &str = "orders";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Clones,
    Commits,
    Deletes,
}

/// Somebody who keeps groups.
#[derive(Debug)]
pub(super) struct Keeper {
    /// How many groups there were; none is used again.
    groups: u32,
    step: Step,
    asked: Option<RequestId>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            groups: 0,
            step: Step::Clones,
            asked: None,
        }
    }
}

impl Keeper {
    fn group(&self) -> String {
        format!("kept-{}", self.groups)
    }

    fn new_group(&mut self) {
        self.groups += 1;
        self.step = Step::Clones;
        self.asked = None;
    }
}

impl Client for Keeper {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.new_group();
        context.remind(3_000, NEXT);
    }

    fn reminded(&mut self, _what: u32, context: &mut Context<'_>) {
        if context.is_draining() {
            return;
        }
        let group = self.group();
        let request = match self.step {
            Step::Clones => Request::CloneOffsets {
                from: PullGroup::Shared.name(),
                to: group,
                is_all: context.random.once_in(2),
            },
            Step::Commits => Request::CommitDurably {
                group,
                queue_id: context.random.below(producer::QUEUES as u64) as u32,
                offset: context.random.between(0, 60),
            },
            Step::Deletes => Request::DeleteGroup(group),
        };
        self.asked = Some(context.ask(request, PATIENCE_MS));
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        if self.asked != Some(id) {
            return;
        }
        self.step = match (self.step, reply) {
            (Step::Clones, Reply::Done) => Step::Commits,
            (Step::Commits, Reply::Done) if context.random.once_in(3) => Step::Commits,
            (Step::Commits, Reply::Done) if context.random.once_in(2) => Step::Deletes,
            // Of what was not answered nobody knows what became: on with another one.
            _ => {
                self.new_group();
                Step::Clones
            }
        };
        let after_ms = context.random.between(200, 6_000);
        context.remind(after_ms, NEXT);
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        true
    }
}
