//! What clients act in: the network between them and the broker, time, and the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use kourou_engine::clock::Clock;

use crate::clock::SimClock;
use crate::coverage::Coverage;
use crate::faults::Fault;
use crate::history::History;
use crate::ledger::Ledger;
use crate::linear::Linear;
use crate::random::Random;
use crate::schedule::{Event, Schedule};
use crate::wire::{ClientId, Kind, Reply, Request, RequestId, Told};

/// How long an undisturbed message takes at the most.
const DELAY_MS_MAX: i64 = 4;

/// A client's way to the broker and back. What goes one way arrives in its order.
#[derive(Debug, Clone)]
pub struct Link {
    /// Which connection this is; a broken one is replaced by the next.
    pub connection: u64,
    /// Until when none can be made.
    pub cut_until_ms: i64,
    /// Until when what the broker says is lost.
    pub deaf_until_ms: i64,
    /// Until when it is slow.
    pub slow_until_ms: i64,
    there_ms: i64,
    back_ms: i64,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    /// Who asked.
    pub client: ClientId,
    /// What kind of request.
    pub kind: Kind,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Clients do what they like, and things go wrong.
    Busy,
    /// Nothing goes wrong any more, and everybody finishes.
    Draining,
}

/// All that is not the broker and not a client.
#[derive(Debug)]
pub struct Scene {
    /// Since the beginning.
    pub now_ms: i64,
    /// The clock that the broker reads.
    pub clock: Arc<SimClock>,
    /// What is to come.
    pub schedule: Schedule,
    /// By client.
    pub links: Vec<Link>,
    /// The model.
    pub ledger: Ledger,
    /// For the hash.
    pub history: History,
    /// Which faults met what.
    pub coverage: Coverage,
    /// Where the run is.
    pub phase: Phase,
    /// One queue, as its clients see it.
    pub linear: Linear,
    /// Requests without an answer.
    pub waiting: BTreeMap<RequestId, Waiting>,
    /// Faults that wait for a request of a kind.
    pub(crate) aimed: Vec<(Kind, Fault)>,
    next_request: RequestId,
    network: Random,
}

impl Scene {
    /// A scene for so many clients.
    pub fn new(seed: u64, clock: Arc<SimClock>, clients: usize, history: History) -> Self {
        let link = Link {
            connection: 0,
            cut_until_ms: 0,
            deaf_until_ms: 0,
            slow_until_ms: 0,
            there_ms: 0,
            back_ms: 0,
        };
        let links = (0..clients)
            .map(|client| Link {
                connection: client as u64,
                ..link.clone()
            })
            .collect();
        Self {
            now_ms: 0,
            clock,
            schedule: Schedule::default(),
            links,
            ledger: Ledger::default(),
            history,
            coverage: Coverage::default(),
            phase: Phase::Busy,
            linear: Linear::default(),
            waiting: BTreeMap::new(),
            aimed: Vec::new(),
            next_request: 0,
            network: Random::new(seed, "network"),
        }
    }

    /// What the broker's clock shows.
    pub fn wall_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Plans an event.
    pub fn after(&mut self, after_ms: i64, event: Event) {
        self.schedule.at(self.now_ms + after_ms.max(0), event);
    }

    /// A client asks. It gets one answer: the broker's, or that none came within `patience_ms`.
    pub fn ask(&mut self, client: ClientId, request: Request, patience_ms: i64) -> RequestId {
        let id = self.next_request;
        self.next_request += 1;
        let kind = request.kind();
        self.waiting.insert(id, Waiting { client, kind });
        self.after(patience_ms, Event::GivenUp(id));
        self.linear.asked(id, &request, &self.ledger);
        if let Some(at) = self.aimed.iter().position(|(wanted, _)| *wanted == kind) {
            let (_, fault) = self.aimed.remove(at);
            let fault = Fault {
                client,
                aim: None,
                after_operations: None,
                ..fault
            };
            let after_ms = self.network.between(0, DELAY_MS_MAX);
            self.after(after_ms, Event::Fault(fault));
        }
        if self.now_ms >= self.links[client].cut_until_ms {
            let arrives_ms = self.travel(client, true);
            let connection = self.links[client].connection;
            let request = Box::new(request);
            self.schedule.at(
                arrives_ms,
                Event::Arrives {
                    client,
                    connection,
                    id,
                    request,
                },
            );
        }
        id
    }

    /// The broker answers, over the connection that the request came by.
    pub fn answer(&mut self, client: ClientId, connection: u64, id: RequestId, reply: Reply) {
        if self.is_heard(client, connection) {
            let at_ms = self.travel(client, false);
            self.schedule.at(at_ms, Event::Answered(id, Box::new(reply)));
        }
    }

    /// The broker says something to a client.
    pub fn tell(&mut self, client: ClientId, connection: u64, told: Told) {
        if self.is_heard(client, connection) {
            let at_ms = self.travel(client, false);
            self.schedule
                .at(at_ms, Event::Told(client, connection, Box::new(told)));
        }
    }

    /// Whether what the broker says over a connection leaves it.
    pub fn is_heard(&self, client: ClientId, connection: u64) -> bool {
        let link = &self.links[client];
        link.connection == connection && self.now_ms >= link.deaf_until_ms
    }

    /// Breaks a client's connection; the next one can be made after `for_ms`.
    pub fn cut(&mut self, client: ClientId, for_ms: i64) {
        let clients = self.links.len() as u64;
        let link = &mut self.links[client];
        link.connection += clients;
        link.cut_until_ms = link.cut_until_ms.max(self.now_ms + for_ms);
    }

    fn travel(&mut self, client: ClientId, there: bool) -> i64 {
        let slow = self.now_ms < self.links[client].slow_until_ms;
        let delay_ms = if slow {
            self.network.between(20, 4_000)
        } else {
            self.network.between(0, DELAY_MS_MAX)
        };
        let link = &mut self.links[client];
        let last_ms = if there {
            &mut link.there_ms
        } else {
            &mut link.back_ms
        };
        *last_ms = (*last_ms).max(self.now_ms + delay_ms);
        *last_ms
    }
}
