//! One run: from a seed to a report, or to a broken promise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kourou_broker::group::GroupConfig;
use kourou_broker::topic::{AttributeChanges, TopicConfig};

use crate::audit;
use crate::clients::lites::{self, LiteGroup};
use crate::clients::{self, Actor, ClientKind, batches, metered, producer, timers, transactions, urgent};
use crate::clock::SimClock;
use crate::coverage::{Coverage, Going};
use crate::faults::{self, Fault, FaultKind};
use crate::history::History;
use crate::ledger::{SCRATCH_TOPIC, quotas};
use crate::node::Node;
use crate::promise::{Promise, Violation};
use crate::random::Random;
use crate::scene::{Phase, Scene};
use crate::schedule::Event;
use crate::wire::ClientId;

/// How long clients do what they like, at the most.
const BUSY_MS_MAX: i64 = 240_000;
/// How long everybody may take to finish, in simulated time: timers wait up to an hour, and the clock may have been set by hours.
const DRAIN_MS_MAX: i64 = 12 * 3_600_000;
/// How often it is looked whether everybody has finished.
const FINISHED_EVERY_MS: i64 = 2_000;

/// What a run is made of. The default is everything.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which clients take part.
    pub clients: Vec<ClientKind>,
    /// What may go wrong.
    pub faults: Vec<FaultKind>,
    /// How long clients are busy at the most, in milliseconds.
    pub busy_ms_max: i64,
    /// How many of the planned faults take place, at the most.
    pub faults_max: usize,
    /// Whether every event is printed.
    pub tells: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            clients: ClientKind::ALL.to_vec(),
            faults: FaultKind::ALL.to_vec(),
            busy_ms_max: BUSY_MS_MAX,
            faults_max: usize::MAX,
            tells: false,
        }
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The hash of everything that happened.
    pub hash: u64,
    /// How much happened.
    pub events: u64,
    /// How much time passed in it.
    pub simulated_ms: i64,
    /// How many messages there were.
    pub messages: u64,
    /// How often the broker was started.
    pub starts: u64,
    /// What met what.
    pub coverage: Coverage,
    /// Whether the history of one queue could be checked to be linearizable.
    pub linearizable: bool,
    /// The broken promise, if one was.
    pub violation: Option<Violation>,
}

/// Runs a seed.
pub fn run(seed: u64, plan: &Plan) -> Report {
    let mut simulation = Simulation::new(seed, plan);
    // A panic of the broker is a broken promise like others.
    let ended = catch_unwind(AssertUnwindSafe(|| simulation.run()));
    if let Err(panic) = ended {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        simulation.scene.ledger.broken(Promise::NoPanic, text);
    }
    simulation.report()
}

struct Simulation {
    scene: Scene,
    node: Node,
    actors: Vec<Actor>,
    random: Random,
    linearizable: bool,
    /// Since when nothing goes wrong any more.
    drains_since_ms: i64,
}

impl Simulation {
    fn new(seed: u64, plan: &Plan) -> Self {
        let clock = Arc::new(SimClock::default());
        let cast = clients::cast(seed, &plan.clients);
        let actors = clients::all(seed, &cast);
        let history = History::new(plan.tells);
        let mut scene = Scene::new(seed, clock.clone(), actors.len(), history);
        let node = Node::new(seed, clock, &cast);
        scene.ledger.window_ms = node.window_ms();
        scene.ledger.groups.lets_go = node.lets_go();
        scene.ledger.lites.expire = seed.is_multiple_of(2);
        let mut random = Random::new(seed, "plan");
        let busy_ms = random.between(5_000, BUSY_MS_MAX).min(plan.busy_ms_max);
        let never = clients::never_asked(&cast);
        let planned = faults::plan(&mut random, &plan.faults, &never, busy_ms, actors.len());
        for (at_ms, fault) in planned.into_iter().take(plan.faults_max) {
            scene.schedule.at(at_ms, Event::Fault(fault));
        }
        scene.schedule.at(busy_ms, Event::Drain);
        for client in 0..actors.len() {
            scene.schedule.at(random.between(0, 2_000), Event::Begin(client));
        }
        Self {
            scene,
            node,
            actors,
            random,
            linearizable: false,
            drains_since_ms: 0,
        }
    }

    fn run(&mut self) {
        self.set_up();
        while self.scene.ledger.violation.is_none() {
            let Some((at_ms, event)) = self.scene.schedule.next() else {
                break;
            };
            self.scene.now_ms = at_ms;
            self.scene.ledger.now_ms = at_ms;
            self.scene.clock.pass_to(at_ms);
            let wall_ms = self.scene.wall_ms();
            self.scene.ledger.clock_max_ms = self.scene.ledger.clock_max_ms.max(wall_ms);
            if let Event::Finished = event {
                if self.has_finished() {
                    break;
                }
                continue;
            }
            self.happens(event);
        }
        if self.scene.ledger.violation.is_none() {
            self.linearizable = audit::audit(&mut self.node, &mut self.scene, &mut self.random);
            self.node.verify_closed(&mut self.scene);
        }
    }

    /// Topics and groups that everybody takes to be there.
    fn set_up(&mut self) {
        self.node.start(&mut self.scene);
        let Some(broker) = self.node.broker() else { return };
        let topics = [
            ("orders", producer::QUEUES),
            ("timers", timers::QUEUES),
            ("payments", transactions::QUEUES),
            (SCRATCH_TOPIC, 1),
            (batches::TOPIC, batches::QUEUES),
        ];
        for (topic, queues) in topics {
            broker.put_topic(TopicConfig::new(topic, queues as u32), |_| {});
        }
        // In some runs lite topics end when nobody sends to them for a minute.
        let sessions = if self.scene.ledger.lites.expire {
            "+message.type=LITE,+lite.topic.expiration=1"
        } else {
            "+message.type=LITE"
        };
        let metered = format!(
            "+quota.send.messages={},+quota.pull.messages={}",
            quotas::SEND_PER_S,
            quotas::PULL_PER_S
        );
        let special = [
            (metered::TOPIC, 1, &*metered),
            (batches::INNER_TOPIC, 1, "+queue.type=BatchCQ"),
            ("urgent", urgent::QUEUES, "+message.type=PRIORITY"),
            (lites::TOPIC, 1, sessions),
        ];
        for (topic, queues, attributes) in special {
            match AttributeChanges::parse(attributes) {
                Ok(changes) => {
                    broker.put_topic_with(TopicConfig::new(topic, queues as u32), &changes, |_| {})
                }
                Err(error) => return self.scene.ledger.broken(Promise::Refusals, error.to_string()),
            }
        }
        let groups = [
            ("pull-shared", 3),
            ("pull-tagged", 3),
            ("pull-sql", 3),
            ("pull-orderly", 3),
            ("pull-reset", 3),
            ("pop-orders", 3),
            ("pop-timers", 2),
            ("pop-payments", 4),
            // In order nothing is given up here.
            ("pop-in-order", 1_000),
            ("pull-metered", 3),
            (metered::GROUP, 3),
            ("pull-batches", 3),
            ("pop-batches", 3),
            ("pop-urgent", 3),
            (LiteGroup::Answerers.name(), 1_000),
            (LiteGroup::Owners.name(), 1_000),
        ];
        for (group, retry_times_max) in groups {
            let attributes = LiteGroup::named(group).map_or([].as_slice(), LiteGroup::attributes);
            let attributes = attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let quota = (group == metered::GROUP)
                .then(|| ("quota.send.messages".to_owned(), quotas::CLIENT_PER_S.to_string()));
            let config = GroupConfig {
                retry_times_max,
                attributes: attributes.chain(quota).collect(),
                ..GroupConfig::new(group)
            };
            broker.put_group(&config, |_| {});
        }
        broker.engine().pump();
    }

    fn happens(&mut self, event: Event) {
        let Self {
            scene, node, actors, ..
        } = self;
        match event {
            Event::Begin(client) => actors[client].begins(client, scene),
            Event::Reminder(client, token) => actors[client].reminded(client, token, scene),
            Event::Arrives {
                client,
                connection,
                id,
                request,
            } => node.arrives(scene, client, connection, id, *request),
            Event::Answered(id, reply) => {
                if let Some(waiting) = scene.waiting.remove(&id) {
                    scene.linear.answered(id, &reply);
                    actors[waiting.client].answered(waiting.client, id, *reply, scene);
                }
            }
            Event::GivenUp(id) => {
                if let Some(waiting) = scene.waiting.remove(&id) {
                    scene
                        .history
                        .note(scene.now_ms, format_args!("{} gives up {id}", waiting.client));
                    let reply = crate::wire::Reply::Lost;
                    actors[waiting.client].answered(waiting.client, id, reply, scene);
                }
            }
            Event::Told(client, connection, told) => {
                if scene.links[client].connection == connection {
                    actors[client].told(client, *told, scene);
                }
            }
            Event::HoldEnds(number) => node.hold_ends(scene, number),
            Event::Write => node.write(scene),
            Event::Work => node.work(scene),
            Event::Start => node.start(scene),
            Event::Fault(fault) => self.goes_wrong(fault),
            Event::FaultEnds(fault) => {
                if scene.phase == Phase::Busy {
                    node.fault_ends(scene, fault);
                }
            }
            Event::Drain => self.drain(),
            Event::Finished => {}
        }
    }

    fn goes_wrong(&mut self, fault: Fault) {
        let Self {
            scene, node, actors, ..
        } = self;
        if scene.phase == Phase::Draining {
            return;
        }
        match fault.aim {
            Some(Going::Asked(kind)) => return scene.aimed.push((kind, fault)),
            Some(_) => return node.aim(scene, fault),
            None => {}
        }
        let until_ms = scene.now_ms + fault.lasts_ms;
        let client = fault.client;
        scene.history.note(
            scene.now_ms,
            format_args!("{:?} for {} ms", fault.kind, fault.lasts_ms),
        );
        match fault.kind {
            FaultKind::LinkCut | FaultKind::ClientDies => {
                meets(scene, fault.kind, client);
                let connection = scene.links[client].connection;
                scene.cut(client, fault.lasts_ms);
                // Now and then nobody tells the broker.
                if fault.random.is_multiple_of(2) {
                    node.connection_ends(scene, connection);
                }
                if fault.kind == FaultKind::ClientDies {
                    actors[client].dies();
                    scene.schedule.at(until_ms, Event::Begin(client));
                }
            }
            FaultKind::HalfOpen => {
                meets(scene, fault.kind, client);
                scene.links[client].deaf_until_ms = until_ms;
            }
            FaultKind::SlowLink => {
                meets(scene, fault.kind, client);
                scene.links[client].slow_until_ms = until_ms;
            }
            _ => node.fault(scene, fault),
        }
    }

    /// From now on nothing goes wrong, and everybody finishes.
    fn drain(&mut self) {
        let Self { scene, node, .. } = self;
        scene.phase = Phase::Draining;
        scene.aimed.clear();
        scene
            .history
            .note(scene.now_ms, format_args!("everybody finishes"));
        self.drains_since_ms = scene.now_ms;
        for link in &mut scene.links {
            link.cut_until_ms = 0;
            link.deaf_until_ms = 0;
            link.slow_until_ms = 0;
        }
        node.heal();
        if node.had_flips {
            // What could not be read was put aside until the next start.
            node.start_again(scene);
        }
        scene.after(FINISHED_EVERY_MS, Event::Finished);
    }

    fn has_finished(&mut self) -> bool {
        let unfinished = self.unfinished();
        let Some(what) = unfinished else { return true };
        let scene = &mut self.scene;
        if scene.now_ms - self.drains_since_ms > DRAIN_MS_MAX {
            scene
                .ledger
                .broken(Promise::Progress, format!("it does not come to an end: {what}"));
            return true;
        }
        // Soon at first; what takes an hour may take a little more.
        let waited_ms = scene.now_ms - self.drains_since_ms;
        scene.after(FINISHED_EVERY_MS.max(waited_ms / 20), Event::Finished);
        false
    }

    /// What is not finished; `None` if all is.
    fn unfinished(&self) -> Option<String> {
        let Some(broker) = self.node.broker() else {
            return Some("the broker does not run".to_owned());
        };
        let ledger = &self.scene.ledger;
        if let Some(client) = self.actors.iter().position(|actor| !actor.has_finished(ledger)) {
            return Some(format!("client {client}, {:?}", self.actors[client].kind));
        }
        let timers = broker.timers_pending();
        if timers > 0 {
            return Some(format!("{timers} timers wait"));
        }
        let transactions = broker.transactions_pending();
        let has_producers = self.has(ClientKind::Transactions);
        if transactions > 0 && has_producers {
            return Some(format!("{transactions} transactions are pending"));
        }
        // Only those who take part have been given any.
        if broker.deliveries() > 0 {
            return Some(format!("{} messages are out", broker.deliveries()));
        }
        audit::unconsumed(broker, ledger, |kind| self.has(kind))
    }

    fn has(&self, kind: ClientKind) -> bool {
        self.actors.iter().any(|actor| actor.kind == kind)
    }

    fn report(self) -> Report {
        Report {
            hash: self.scene.history.hash(),
            events: self.scene.history.events(),
            simulated_ms: self.scene.now_ms,
            messages: self.scene.ledger.messages().len() as u64,
            starts: self.node.starts,
            coverage: self.scene.coverage,
            linearizable: self.linearizable,
            violation: self.scene.ledger.violation,
        }
    }
}

/// What a fault of one client's connection meets.
fn meets(scene: &mut Scene, kind: FaultKind, client: ClientId) {
    scene.coverage.fault(kind);
    let met: Vec<_> = scene
        .waiting
        .values()
        .filter(|waiting| waiting.client == client)
        .map(|waiting| waiting.kind)
        .collect();
    for one in met {
        scene.coverage.hit(kind, Going::Asked(one));
    }
}
