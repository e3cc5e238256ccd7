//! Lite topics: who sends to them, each in its order, and who subscribes to some of them, for a while, and receives.

use std::collections::{BTreeMap, BTreeSet};

use kourou_broker::client::{ConsumerData, HeartbeatData};
use kourou_broker::delivery::{PopRequest, PopStart};
use kourou_broker::lite::{LiteOffset, SyncAction, SyncRequest};
use kourou_broker::receive::InlineSubscription;

use super::sends::{Sends, Sent};
use super::verdicts::Verdicts;
use super::{Client, Context, PATIENCE_MS};
use crate::clock::START_MS;
use crate::ledger::{Content, Ledger, MessageKind, Misfit};
use crate::message::lite_name;
use crate::wire::{Reply, Request, RequestId, Told};

const NEXT: u32 = 0;
const AGAIN: u32 = 1;
const RECEIVE: u32 = 2;
/// The topic whose lite topics they are.
pub(crate) const TOPIC: &str = "sessions";
/// For how long one is kept without a message, where they expire at all.
pub(crate) const EXPIRATION_MS: i64 = 60_000;
/// How many lite topics there are.
pub(crate) const LITES: u32 = 8;
const HOLD_MS: i64 = 10_000;
/// How often a client that finishes says what it subscribes to.
const SYNC_MS: i64 = 8_000;

/// Who sends to lite topics.
#[derive(Debug, Default)]
pub(super) struct LiteProducer {
    left: u32,
    /// By lite topic, how many were sent.
    sequences: BTreeMap<u32, u32>,
    /// Lite topics with a message on its way: one at a time. One of which nobody knows whether it is there stays.
    busy: BTreeSet<u32>,
    sends: Sends,
}

impl Client for LiteProducer {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.left = context.random.below(70) as u32;
        self.busy.clear();
        self.sends = Sends::default();
        context.remind(0, NEXT);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == AGAIN {
            return self.sends.again(context);
        }
        if self.left == 0 || context.is_draining() {
            return;
        }
        self.left -= 1;
        let lite = context.random.below(u64::from(LITES)) as u32;
        let misfit = match context.random.below(24) {
            0 => Some(Misfit::LiteName),
            1 => Some(Misfit::Type),
            _ => None,
        };
        if misfit.is_some() || self.busy.insert(lite) {
            let kind = match misfit {
                Some(misfit) => MessageKind::Misfit(misfit),
                None => {
                    let sequence = self.sequences.entry(lite).or_default();
                    *sequence += 1;
                    MessageKind::Lite {
                        lite,
                        sequence: *sequence,
                    }
                }
            };
            let body_size = context.random.between(1, 300) as usize;
            let message = context.scene.ledger.create(|id| Content {
                id,
                kind,
                topic: TOPIC,
                queue_id: 0,
                tag: "l",
                body_size,
            });
            self.sends.send(message, context);
        }
        let pause_ms = if context.random.once_in(20) { 30_000 } else { 500 };
        let after_ms = context.random.between(0, pause_ms);
        context.remind(after_ms, NEXT);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        if let Some(Sent::Stored(message, _)) = self.sends.answered(id, &reply, AGAIN, context)
            && let MessageKind::Lite { lite, .. } = context.scene.ledger.message(message).content.kind
        {
            self.busy.remove(&lite);
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.sends.count() == 0
    }
}

/// The groups that receive from lite topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiteGroup {
    /// Its members share; nobody says where it begins.
    Answerers,
    /// A lite topic is one member's alone, who begins where it likes.
    Owners,
}

impl LiteGroup {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answerers => "lite-answerers",
            Self::Owners => "lite-owners",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Answerers, Self::Owners]
            .into_iter()
            .find(|group| group.name() == name)
    }

    /// Lite topics that one member may subscribe to.
    pub(crate) const fn quota(self) -> usize {
        match self {
            Self::Answerers => LITES as usize,
            Self::Owners => 5,
        }
    }

    /// The attributes of the group.
    pub(crate) const fn attributes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Answerers => &[("lite.bind.topic", TOPIC), ("lite.sub.client.quota", "8")],
            Self::Owners => &[
                ("lite.bind.topic", TOPIC),
                ("lite.sub.client.quota", "5"),
                ("lite.sub.model", "Exclusive"),
                ("lite.sub.reset.offset.exclusive", "true"),
                ("lite.sub.reset.offset.unsubscribe", "true"),
            ],
        }
    }
}

/// A member of a group that receives from lite topics.
#[derive(Debug)]
pub(super) struct LiteMember {
    group: LiteGroup,
    wants: BTreeSet<u32>,
    pops: BTreeMap<RequestId, PopRequest>,
    verdicts: Verdicts,
    attempts: u32,
}

impl LiteMember {
    pub(super) fn new(group: LiteGroup) -> Self {
        Self {
            group,
            wants: BTreeSet::new(),
            pops: BTreeMap::new(),
            verdicts: Verdicts::choosy(),
            attempts: 0,
        }
    }

    fn client_id(context: &Context<'_>) -> String {
        lite_client(context.me())
    }

    fn beat(&self, context: &mut Context<'_>) {
        let data = HeartbeatData {
            client_id: Self::client_id(context),
            consumers: vec![ConsumerData {
                group: self.group.name().to_owned(),
                ..ConsumerData::default()
            }],
            ..HeartbeatData::default()
        };
        context.ask(Request::Beat(data), PATIENCE_MS);
    }

    fn sync(
        &self,
        action: SyncAction,
        lites: impl IntoIterator<Item = u32>,
        offset: LiteOffset,
        context: &mut Context<'_>,
    ) {
        let mut sync = SyncRequest {
            group: self.group.name().into(),
            topic: TOPIC.into(),
            client_id: Self::client_id(context).into(),
            action,
            lite_topics: lites.into_iter().map(lite_name).collect(),
            offset,
        };
        // Now and then it says what cannot be.
        if !context.is_draining() && action == SyncAction::Add {
            match context.random.below(30) {
                0 => sync.topic = "orders".into(),
                1 => sync.group = "pop-orders".into(),
                2 => sync.lite_topics.push("no name".to_owned()),
                _ => {}
            }
        }
        context.ask(Request::Sync(sync), PATIENCE_MS);
    }

    /// Says something of what it subscribes to.
    fn says(&mut self, context: &mut Context<'_>) {
        if context.is_draining() {
            self.wants = (0..self.group.quota() as u32).collect();
            self.sync(SyncAction::All, self.wants.clone(), LiteOffset::Last, context);
            return context.remind(SYNC_MS, NEXT);
        }
        let some: BTreeSet<u32> = (0..context.random.between(1, 4))
            .map(|_| context.random.below(u64::from(LITES)) as u32)
            .collect();
        match context.random.below(8) {
            0 | 1 => {
                self.wants.retain(|lite| !some.contains(lite));
                self.sync(SyncAction::Remove, some, LiteOffset::Last, context);
            }
            2 | 3 => self.sync(SyncAction::All, self.wants.clone(), LiteOffset::Last, context),
            4 if context.random.once_in(2) => {
                self.wants.clear();
                self.sync(SyncAction::None, [], LiteOffset::Last, context);
            }
            _ => {
                let offsets = [
                    LiteOffset::Last,
                    LiteOffset::Min,
                    LiteOffset::Max,
                    LiteOffset::At(1),
                    LiteOffset::Tail(2),
                    LiteOffset::Time(START_MS + 30_000),
                ];
                let offset = match self.group {
                    LiteGroup::Answerers => LiteOffset::Last,
                    LiteGroup::Owners => *context.random.pick(&offsets),
                };
                self.sync(SyncAction::Add, some.clone(), offset, context);
                self.wants.extend(some);
            }
        }
        self.beat(context);
        let after_ms = context.random.between(500, 15_000);
        context.remind(after_ms, NEXT);
    }

    fn receive(&mut self, context: &mut Context<'_>) {
        let invisible_ms = if context.is_draining() {
            HOLD_MS
        } else {
            *context.random.pick(&[1, 700, 4_000, 15_000])
        };
        self.attempts += 1;
        let pop = PopRequest {
            group: self.group.name().into(),
            topic: TOPIC.into(),
            queue_id: -1,
            messages_max: context.random.between(1, 8) as i32,
            invisible_ms,
            start: PopStart::Min,
            subscription: InlineSubscription::default(),
            ordered: true,
            attempt_id: format!("{}-{}", context.me(), self.attempts).into(),
        };
        self.ask_pop(pop, context);
    }

    fn ask_pop(&mut self, pop: PopRequest, context: &mut Context<'_>) {
        let request = Request::LitePop {
            pop: pop.clone(),
            client_id: Self::client_id(context),
            hold_ms: HOLD_MS,
        };
        let id = context.ask(request, HOLD_MS + PATIENCE_MS);
        self.pops.insert(id, pop);
    }
}

/// The id that a client has as a member of such a group.
pub(crate) fn lite_client(client: usize) -> String {
    format!("lite-{client}")
}

impl Client for LiteMember {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.pops.clear();
        self.verdicts.forget();
        self.wants.clear();
        self.beat(context);
        context.remind(1, NEXT);
        context.remind(50, RECEIVE);
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        match what {
            NEXT => self.says(context),
            RECEIVE => self.receive(context),
            later => self.verdicts.reminded(later, context),
        }
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        match (self.pops.remove(&id), reply) {
            (None, reply) => self.verdicts.answered(id, &reply, context),
            (Some(pop), Reply::Popped(popped)) => {
                self.verdicts.given(popped.handles(&pop.group).collect(), context);
                let after_ms = context.random.between(0, 400);
                context.remind(after_ms, RECEIVE);
            }
            (Some(pop), Reply::Lost) => self.ask_pop(pop, context),
            (Some(_), _) => {
                let after_ms = context.random.between(50, 1_500);
                context.remind(after_ms, RECEIVE);
            }
        }
    }

    fn told(&mut self, told: Told, context: &mut Context<'_>) {
        if let Told::LostLite { lite_topic } = told {
            self.wants.retain(|lite| lite_name(*lite) != lite_topic);
            // Some want it back at once.
            if !context.is_draining() && context.random.once_in(4) {
                let lite = (0..LITES).find(|lite| lite_name(*lite) == lite_topic);
                self.wants.extend(lite);
                self.sync(SyncAction::Add, lite, LiteOffset::Last, context);
            }
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.verdicts.has_finished()
    }
}
