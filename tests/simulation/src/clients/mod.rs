//! The clients: what people's programs do, their retries and their deaths included.

mod admin;
pub mod batches;
pub(crate) mod keeper;
pub(crate) mod lites;
pub(crate) mod metered;
mod popper;
pub mod producer;
mod puller;
mod reader;
mod resumer;
mod sends;
pub mod timers;
pub mod transactions;
pub mod urgent;
mod verdicts;

use std::collections::BTreeSet;
use std::fmt;

use crate::ledger::Ledger;
use crate::random::Random;
use crate::scene::{Phase, Scene};
use crate::schedule::Event;
use crate::wire::{ClientId, Kind, Reply, Request, RequestId, Told};

use lites::LiteGroup;
pub use puller::PullGroup;

/// The group of those who send transactions.
pub const TRANSACTION_GROUP: &str = "producers";
/// How long a client waits for an answer to what should be answered at once.
const PATIENCE_MS: i64 = 3_000;
/// How often a client says that it is there.
const BEAT_MS: i64 = 30_000;

/// Kinds of clients, to leave some out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each has a room of that name")]
pub enum ClientKind {
    Producer,
    Timers,
    Transactions,
    Puller,
    Orderly,
    Popper,
    Reader,
    Admin,
    Batches,
    Lites,
    Urgent,
    Metered,
    Keeper,
    Resumer,
}

impl ClientKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Producer,
        Self::Timers,
        Self::Transactions,
        Self::Puller,
        Self::Orderly,
        Self::Popper,
        Self::Reader,
        Self::Admin,
        Self::Batches,
        Self::Lites,
        Self::Urgent,
        Self::Metered,
        Self::Keeper,
        Self::Resumer,
    ];

    /// Those that take part in a share of the runs: in how many of ten.
    fn share(self) -> u64 {
        match self {
            Self::Batches | Self::Urgent | Self::Metered | Self::Keeper | Self::Resumer => 3,
            Self::Lites => 4,
            _ => 10,
        }
    }

    /// Requests that nobody else makes.
    fn asks_alone(self) -> &'static [Kind] {
        match self {
            Self::Batches => &[Kind::Batch],
            Self::Lites => &[Kind::Lite, Kind::Bury],
            Self::Urgent => &[Kind::Bury],
            _ => &[],
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What a client can do: what it does now, in what happens.
#[derive(Debug)]
pub struct Context<'a> {
    /// Everything outside.
    pub scene: &'a mut Scene,
    /// Decides for this client.
    pub random: &'a mut Random,
    me: ClientId,
    life: u64,
    open: &'a mut BTreeSet<RequestId>,
}

impl Context<'_> {
    /// Asks the broker; the answer comes under this number.
    pub fn ask(&mut self, request: Request, patience_ms: i64) -> RequestId {
        let id = self.scene.ask(self.me, request, patience_ms);
        self.open.insert(id);
        id
    }

    /// Wants to be reminded of something.
    pub fn remind(&mut self, after_ms: i64, what: u32) {
        let token = self.life << 32 | u64::from(what);
        self.scene.after(after_ms, Event::Reminder(self.me, token));
    }

    /// Whether everybody is to finish.
    pub fn is_draining(&self) -> bool {
        self.scene.phase == Phase::Draining
    }

    /// The client's number.
    pub fn me(&self) -> ClientId {
        self.me
    }

    /// The connection it has now.
    pub fn connection(&self) -> u64 {
        self.scene.links[self.me].connection
    }
}

/// A program.
pub trait Client: fmt::Debug {
    /// It starts, for the first time or again; it knows nothing then.
    fn begins(&mut self, context: &mut Context<'_>);

    /// It wanted to be reminded of this.
    fn reminded(&mut self, what: u32, context: &mut Context<'_>);

    /// What it asked for is answered, or not.
    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>);

    /// The broker asks it.
    fn told(&mut self, told: Told, context: &mut Context<'_>) {
        let _ = (told, context);
    }

    /// Whether it has nothing left to do.
    fn has_finished(&self, ledger: &Ledger) -> bool {
        let _ = ledger;
        true
    }
}

/// A client and what belongs to it whatever it is.
#[derive(Debug)]
pub struct Actor {
    /// What it is.
    pub kind: ClientKind,
    client: Box<dyn Client>,
    random: Random,
    life: u64,
    open: BTreeSet<RequestId>,
}

impl Actor {
    fn new(seed: u64, number: usize, kind: ClientKind, client: Box<dyn Client>) -> Self {
        Self {
            kind,
            client,
            random: Random::new(seed, &format!("client {number}")),
            life: 0,
            open: BTreeSet::new(),
        }
    }

    fn with(&mut self, me: ClientId, scene: &mut Scene, act: impl FnOnce(&mut dyn Client, &mut Context<'_>)) {
        let mut context = Context {
            scene,
            random: &mut self.random,
            me,
            life: self.life,
            open: &mut self.open,
        };
        act(self.client.as_mut(), &mut context);
    }

    /// It begins.
    pub fn begins(&mut self, me: ClientId, scene: &mut Scene) {
        self.with(me, scene, |client, context| client.begins(context));
    }

    /// It is gone, and with it all that it knew.
    pub fn dies(&mut self) {
        self.life += 1;
        self.open.clear();
    }

    /// It is reminded, unless it died since.
    pub fn reminded(&mut self, me: ClientId, token: u64, scene: &mut Scene) {
        if token >> 32 == self.life {
            self.with(me, scene, |client, context| {
                client.reminded(token as u32, context)
            });
        }
    }

    /// It hears an answer, unless it died since.
    pub fn answered(&mut self, me: ClientId, id: RequestId, reply: Reply, scene: &mut Scene) {
        if self.open.remove(&id) {
            self.with(me, scene, |client, context| client.answered(id, reply, context));
        }
    }

    /// It is asked.
    pub fn told(&mut self, me: ClientId, told: Told, scene: &mut Scene) {
        self.with(me, scene, |client, context| client.told(told, context));
    }

    /// Whether it has nothing left to do.
    pub fn has_finished(&self, ledger: &Ledger) -> bool {
        self.client.has_finished(ledger)
    }
}

/// Who takes part in a run, of the kinds that are wanted.
pub fn cast(seed: u64, wanted: &[ClientKind]) -> Vec<ClientKind> {
    let mut random = Random::new(seed, "cast");
    let takes_part = |kind: &ClientKind| random.below(10) < kind.share();
    let cast: Vec<ClientKind> = ClientKind::ALL.into_iter().filter(takes_part).collect();
    cast.into_iter().filter(|kind| wanted.contains(kind)).collect()
}

/// Kinds of requests that nobody of a cast makes.
pub fn never_asked(cast: &[ClientKind]) -> Vec<Kind> {
    let alone = |kinds: &[ClientKind]| -> BTreeSet<Kind> {
        kinds.iter().flat_map(|kind| kind.asks_alone()).copied().collect()
    };
    alone(&ClientKind::ALL)
        .difference(&alone(cast))
        .copied()
        .collect()
}

/// The clients of a run, of these kinds.
pub fn all(seed: u64, wanted: &[ClientKind]) -> Vec<Actor> {
    let pull = |group| -> Box<dyn Client> { Box::new(puller::Puller::new(group, 0)) };
    let other = |group| -> Box<dyn Client> { Box::new(puller::Puller::new(group, 1)) };
    let lite = |group| -> Box<dyn Client> { Box::new(lites::LiteMember::new(group)) };
    let cast: Vec<(ClientKind, Box<dyn Client>)> = vec![
        (ClientKind::Producer, Box::new(producer::Producer::new(0, false))),
        (ClientKind::Producer, Box::new(producer::Producer::new(1, true))),
        (ClientKind::Producer, Box::new(producer::Producer::new(2, false))),
        (ClientKind::Timers, Box::new(timers::Timers::default())),
        (
            ClientKind::Transactions,
            Box::new(transactions::Transactions::default()),
        ),
        (
            ClientKind::Transactions,
            Box::new(transactions::Transactions::default()),
        ),
        (ClientKind::Puller, pull(PullGroup::Shared)),
        (ClientKind::Puller, other(PullGroup::Shared)),
        (ClientKind::Puller, pull(PullGroup::Tagged)),
        (ClientKind::Orderly, pull(PullGroup::Orderly)),
        (ClientKind::Orderly, other(PullGroup::Orderly)),
        (
            ClientKind::Popper,
            Box::new(popper::Popper::new("pop-orders", "orders", false)),
        ),
        (
            ClientKind::Popper,
            Box::new(popper::Popper::new("pop-orders", "orders", false)),
        ),
        (
            ClientKind::Popper,
            Box::new(popper::Popper::new("pop-timers", "timers", false)),
        ),
        (
            ClientKind::Popper,
            Box::new(popper::Popper::new("pop-payments", "payments", false)),
        ),
        (
            ClientKind::Popper,
            Box::new(popper::Popper::new("pop-in-order", "orders", true)),
        ),
        (
            ClientKind::Popper,
            Box::new(popper::Popper::new("pop-in-order", "orders", true)),
        ),
        (ClientKind::Reader, Box::new(reader::Reader)),
        (ClientKind::Admin, Box::new(admin::Admin::default())),
        (ClientKind::Admin, pull(PullGroup::Reset)),
        (ClientKind::Puller, pull(PullGroup::Sql)),
        (ClientKind::Batches, Box::new(batches::Batches::default())),
        (ClientKind::Batches, pull(PullGroup::Batches)),
        (
            ClientKind::Batches,
            Box::new(popper::Popper::choosy("pop-batches", batches::INNER_TOPIC)),
        ),
        (ClientKind::Lites, Box::new(lites::LiteProducer::default())),
        (ClientKind::Lites, lite(LiteGroup::Answerers)),
        (ClientKind::Lites, lite(LiteGroup::Answerers)),
        (ClientKind::Lites, lite(LiteGroup::Owners)),
        (ClientKind::Lites, lite(LiteGroup::Owners)),
        (ClientKind::Metered, Box::new(metered::Metered::default())),
        (ClientKind::Metered, Box::new(metered::Metered::default())),
        (ClientKind::Metered, pull(PullGroup::Metered)),
        (ClientKind::Keeper, Box::new(keeper::Keeper::default())),
        (ClientKind::Resumer, Box::new(resumer::Resumer::default())),
        (ClientKind::Urgent, Box::new(urgent::Urgent::default())),
        (
            ClientKind::Urgent,
            Box::new(popper::Popper::choosy("pop-urgent", "urgent")),
        ),
    ];
    // Numbers stay the same whoever is left out, and so do the streams of random numbers.
    cast.into_iter()
        .enumerate()
        .filter(|(_, (kind, _))| wanted.contains(kind))
        .map(|(number, (kind, client))| Actor::new(seed, number, kind, client))
        .collect()
}
