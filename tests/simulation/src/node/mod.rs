//! The broker's machine: the process, its disk, and what it says.
//!
//! The process is the real broker on the real engine, with nobody but this room calling it. Its log is written when an event
//! says so, so requests that arrive in between share a group, and a crash can find any of them anywhere.

mod compare;
mod flow;
mod harm;
mod pops;
mod requests;
mod saying;
mod survey;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kourou_broker::client::ClientChannel;
use kourou_broker::receive::{HoldGuard, PullRequest};
use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::disk::sim::SimDisk;
use kourou_engine::verify::{ClosedStore, Verdict};
use kourou_engine::{Health, OpenError, Options, Retention, Threads};

use crate::clients::ClientKind;
use crate::clients::lites::lite_client;
use crate::faults::{Fault, FaultKind};
use crate::promise::Promise;
use crate::random::Random;
use crate::scene::Scene;
use crate::schedule::Event;
use crate::wire::{ClientId, Request, RequestId, Told};

use harm::Flipped;
use pops::{Guard, Wish};
use saying::{Asker, Due, Outbox, Said};

/// The store's folder.
const ROOT: &str = "/store";
/// Small, so that every run has many.
pub(crate) const SEGMENT_SIZE_BYTES: u64 = 128 << 10;
/// More than the last groups of the log take: damage there looks like a torn write.
const LAST_GROUPS_SIZE_BYTES: u64 = 24 << 10;
/// How long the log gathers appends at the most before it is written.
const WRITE_DELAY_MS_MAX: i64 = 3;
/// Longest sleep between two looks at what is due, as the real timekeeper has it.
const SLEEP_MS_MAX: i64 = 1_000;
/// How long a process that stopped by itself takes to be started again.
const RESTART_MS_MAX: i64 = 5_000;
/// A start reads the segment that was live, and what was written behind it before a checkpoint was.
const REPLAY_SIZE_BYTES_MAX: u64 = 3 * SEGMENT_SIZE_BYTES;

/// A request that waits for a message.
struct Held {
    to: Asker,
    what: HeldWhat,
}

enum HeldWhat {
    Pull(PullRequest, HoldGuard),
    Pop(Wish, Guard),
}

/// A process that runs.
struct Process {
    broker: Arc<Broker>,
    outbox: Outbox,
    due: Arc<Due>,
    held: BTreeMap<u64, Held>,
    /// What was asked and is not answered.
    asked: BTreeMap<Asker, Request>,
    /// When the pops that are not answered have found something, in milliseconds from the beginning.
    looked_ms: BTreeMap<Asker, i64>,
    channels: BTreeMap<u64, Arc<dyn ClientChannel>>,
    write_is_planned: bool,
    /// When it looks at what is due, the next time that it does.
    work_at_ms: Option<i64>,
    own_work: bool,
    /// The operation of the disk that failed, of those that the log does not survive.
    failed_at: Option<u64>,
}

/// The machine.
pub(crate) struct Node {
    options: BrokerOptions,
    engine_options: Options,
    disk: SimDisk,
    process: Option<Process>,
    random: Random,
    next_hold: u64,
    stalled_until_ms: i64,
    flips: Vec<Flipped>,
    is_full: bool,
    /// What becomes of the disk when the scripted crash comes.
    crash: Option<FaultKind>,
    /// Whether something went wrong while the store was being opened.
    opened_badly: bool,
    /// Whether a checkpoint was damaged: a start then reads more.
    checkpoint_flipped: bool,
    /// Whether a bit was ever flipped.
    pub(crate) had_flips: bool,
    /// Faults that wait for work of the broker's own.
    for_own_work: Vec<Fault>,
    /// Faults that wait for the next start.
    for_opening: Vec<Fault>,
    /// Faults that the disk knows of, by tag.
    awaited: BTreeMap<u64, Fault>,
    next_tag: u64,
    /// What waited for the disk when the last send came, and how long that was.
    room_bytes: (u64, u64),
    /// Which send that was, and when it came.
    room_at: (RequestId, i64),
    /// When the log was last written, in milliseconds from the beginning.
    written_at_ms: i64,
    /// How often it was started.
    pub starts: u64,
    clock: Arc<crate::clock::SimClock>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("starts", &self.starts)
            .finish_non_exhaustive()
    }
}

/// The address of a client.
pub(crate) fn address(client: ClientId) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, client as u8], 40_000))
}

impl Node {
    /// A machine with an empty disk.
    pub(crate) fn new(seed: u64, clock: Arc<crate::clock::SimClock>, cast: &[ClientKind]) -> Self {
        let mut options = BrokerOptions::new(SocketAddr::from(([10, 0, 0, 1], 10_911)));
        // In some runs little may wait for a disk that is stalled.
        if seed % 6 == 1 {
            options.in_flight_size_bytes_max = 24 << 10;
        }
        if cast.contains(&ClientKind::Resumer) {
            options.transaction_checks_max = 2;
            options.transaction_check_interval_ms = 6_000;
        }
        options.traces = seed.is_multiple_of(4);
        options.retry_topic_v2 = seed.is_multiple_of(3);
        // In half of those that are short of room segments do not wait for long for what is out of them.
        if seed.is_multiple_of(10) {
            options.retention_hold_ms = 5_000;
        }
        // In some runs the oldest segments go while everybody works.
        options.retention = Retention {
            age_ms_max: None,
            size_bytes_max: seed.is_multiple_of(5).then_some(4 * SEGMENT_SIZE_BYTES),
            disk_percent_max: None,
            ..Retention::default()
        };
        let mut engine_options = Options::new(ROOT);
        engine_options.threads = Threads::Manual;
        engine_options.segment_size_bytes = SEGMENT_SIZE_BYTES;
        // Some of what is read is not in memory.
        engine_options.tail_cache_size_bytes = 64 << 10;
        engine_options.group_size_bytes_max = 64 << 10;
        engine_options.ahead_size_bytes = 32 << 10;
        Self {
            options,
            engine_options,
            disk: SimDisk::new(),
            process: None,
            random: Random::new(seed, "node"),
            next_hold: 0,
            stalled_until_ms: 0,
            flips: Vec::new(),
            is_full: false,
            crash: None,
            had_flips: false,
            for_own_work: Vec::new(),
            for_opening: Vec::new(),
            awaited: BTreeMap::new(),
            next_tag: 0,
            opened_badly: false,
            checkpoint_flipped: false,
            room_bytes: (0, 0),
            room_at: (RequestId::MAX, 0),
            written_at_ms: 0,
            starts: 0,
            clock,
        }
    }

    /// Whether deliveries end before their time when their segments are to expire.
    pub(crate) fn lets_go(&self) -> bool {
        self.expires() && self.options.retention_hold_ms < 60_000
    }

    /// Whether the oldest segments go while everybody works.
    pub(super) fn expires(&self) -> bool {
        self.options.retention.size_bytes_max.is_some()
    }

    /// How long retried sends are remembered.
    pub(crate) fn window_ms(&self) -> i64 {
        self.options.retried_send_window_ms
    }

    /// The broker, if it runs.
    pub(crate) fn broker(&self) -> Option<&Arc<Broker>> {
        self.process.as_ref().map(|process| &process.broker)
    }

    /// Starts the process.
    pub(crate) fn start(&mut self, scene: &mut Scene) {
        if self.process.is_some() {
            return;
        }
        self.opened_badly = false;
        self.aim_at_opening();
        let opened = Broker::open(
            self.options.clone(),
            self.engine_options.clone(),
            Arc::new(self.disk.clone()),
            self.clock.clone(),
        );
        self.disk_met(scene, true);
        let broker = match opened {
            Ok(broker) => broker,
            Err(error) => return self.not_opened(scene, &error),
        };
        self.starts += 1;
        let recovery = broker.engine().recovery();
        scene.history.note(
            scene.now_ms,
            format_args!(
                "started: {recovery:?}, to position {}",
                broker.engine().watermark()
            ),
        );
        if recovery.replayed_bytes > REPLAY_SIZE_BYTES_MAX && !self.checkpoint_flipped {
            scene.ledger.broken(
                Promise::BoundedRestart,
                format!("a start read {} bytes of the log again", recovery.replayed_bytes),
            );
        }
        let first_position = broker.engine().first_position();
        scene.ledger.expired_below = scene.ledger.expired_below.max(first_position);
        let due = Arc::new(Due::default());
        broker.set_listener(due.clone());
        self.process = Some(Process {
            broker,
            outbox: Outbox::default(),
            due,
            held: BTreeMap::new(),
            asked: BTreeMap::new(),
            looked_ms: BTreeMap::new(),
            channels: BTreeMap::new(),
            write_is_planned: false,
            work_at_ms: None,
            own_work: false,
            failed_at: None,
        });
        scene.ledger.locks.broker_started();
        scene.ledger.quotas.broker_started();
        self.compare_with_ledger(scene);
        self.plan_work(scene, 0);
        self.speak(scene);
    }

    pub(super) fn not_opened(&mut self, scene: &mut Scene, error: &OpenError) {
        scene
            .history
            .note(scene.now_ms, format_args!("not started: {error}"));
        let excused = self.disk.crashed() || !self.flips.is_empty() || self.is_full || self.opened_badly;
        if !excused {
            scene
                .ledger
                .broken(Promise::Opens, format!("the store does not open: {error}"));
            return;
        }
        if self.disk.crashed() {
            let kind = self.crash.take().unwrap_or(FaultKind::Kill);
            self.disk = self.after(kind);
        } else {
            // Whoever starts it has read what it said: the damage is mended, there is room again.
            self.mend();
            self.room();
            self.disk = self.disk.after_kill();
            self.awaited.clear();
        }
        let after_ms = self.random.between(1, RESTART_MS_MAX);
        scene.after(after_ms, Event::Start);
    }

    /// The log's writer runs.
    pub(crate) fn write(&mut self, scene: &mut Scene) {
        let Some(process) = &mut self.process else { return };
        process.write_is_planned = false;
        if scene.now_ms < self.stalled_until_ms {
            process.write_is_planned = true;
            let at_ms = self.stalled_until_ms;
            scene.schedule.at(at_ms, Event::Write);
            return;
        }
        process.broker.engine().pump();
        self.written_at_ms = scene.now_ms;
        let first_position = process.broker.engine().first_position();
        scene.ledger.expired_below = scene.ledger.expired_below.max(first_position);
        process.own_work = false;
        self.disk_met(scene, false);
        let runs = |process: &Process| matches!(process.broker.engine().health(), Health::Running);
        if !self.disk.crashed() && self.process.as_ref().is_some_and(runs) && !self.is_full {
            let now_ms = scene.now_ms;
            scene.ledger.offsets.written(now_ms);
        }
        self.speak(scene);
    }

    /// The broker looks at what is due.
    pub(crate) fn work(&mut self, scene: &mut Scene) {
        let Some(process) = &mut self.process else { return };
        if process.work_at_ms != Some(scene.now_ms) {
            return; // Another one is planned.
        }
        process.work_at_ms = None;
        let broker = process.broker.clone();
        let before = broker.engine().in_flight_bytes();
        let next_tick_ms = broker.tick();
        let next = [
            Some(next_tick_ms),
            broker.deliver_due(),
            broker.redeliver_due(),
            broker.check_transactions(),
        ];
        process.own_work |= broker.engine().in_flight_bytes() > before;
        if process.own_work
            && let Some(fault) = self.for_own_work.pop()
        {
            scene.after(0, Event::Fault(Fault { aim: None, ..fault }));
        }
        let next_ms = next.into_iter().flatten().min().unwrap_or(next_tick_ms);
        let sleep_ms = (next_ms - scene.wall_ms()).clamp(1, SLEEP_MS_MAX);
        self.plan_work(scene, sleep_ms);
        self.speak(scene);
    }

    pub(super) fn plan_work(&mut self, scene: &mut Scene, after_ms: i64) {
        let Some(process) = &mut self.process else { return };
        let at_ms = scene.now_ms + after_ms;
        if process.work_at_ms.is_none_or(|planned_ms| at_ms < planned_ms) {
            process.work_at_ms = Some(at_ms);
            scene.schedule.at(at_ms, Event::Work);
        }
    }

    /// After anything the broker did: what it said is passed on, and what it has to do is planned.
    pub(super) fn speak(&mut self, scene: &mut Scene) {
        loop {
            let Some(process) = &mut self.process else { return };
            let said = std::mem::take(&mut *process.outbox.lock());
            if said.is_empty() {
                break;
            }
            for one in said {
                match one {
                    Said::Reply {
                        to,
                        reply,
                        at_operation,
                    } => self.replies(scene, to, reply, at_operation),
                    Said::Told(client, connection, told) => {
                        if let Told::LostLite { lite_topic } = &told {
                            scene.ledger.lost_lite(&lite_client(client), lite_topic);
                        }
                        scene.tell(client, connection, told);
                    }
                    Said::Woken(number) => self.hold_ends(scene, number),
                }
            }
        }
        if self.disk.crashed() {
            return self.crashed(scene);
        }
        let Some(process) = &mut self.process else { return };
        if process.due.0.swap(false, Ordering::SeqCst) {
            self.plan_work(scene, 0);
        }
        let Some(process) = &mut self.process else { return };
        if let Health::Stopped(reason) = process.broker.engine().health() {
            let why = reason.to_string();
            scene
                .history
                .note(scene.now_ms, format_args!("the log has stopped: {why}"));
            return self.ends(scene, FaultKind::WriteFails, RESTART_MS_MAX);
        }
        if process.broker.engine().in_flight_bytes() > 0 && !process.write_is_planned {
            process.write_is_planned = true;
            let after_ms = self.random.between(0, WRITE_DELAY_MS_MAX);
            scene.after(after_ms, Event::Write);
        }
    }

    /// A client's connection has ended, and the broker hears of it.
    pub(crate) fn connection_ends(&mut self, scene: &mut Scene, connection: u64) {
        let Some(process) = &mut self.process else { return };
        let gone = process
            .held
            .extract_if(.., |_, held| held.to.connection == connection);
        for (_, held) in gone {
            if let HeldWhat::Pop(wish, guard) = held.what {
                drop(guard);
                wish.pass_on(&process.broker);
            }
        }
        if let Some(channel) = process.channels.remove(&connection) {
            process.broker.channel_closed(channel.id());
        }
        self.speak(scene);
    }

    /// The process is stopped in good order and started again, at once.
    pub(crate) fn start_again(&mut self, scene: &mut Scene) {
        if let Some(process) = &self.process {
            let _ = process.broker.close();
            self.speak(scene);
            self.ends(scene, FaultKind::Restart, 1);
        }
    }

    /// The store is closed once more. Where nothing worse than kills and losses of power befell it, every byte must be what was
    /// written.
    pub(crate) fn verify_closed(&mut self, scene: &mut Scene) {
        let worse = [
            FaultKind::WriteFails,
            FaultKind::SyncDrops,
            FaultKind::Full,
            FaultKind::Flip,
            FaultKind::ClockSet,
        ];
        let Some(process) = self.process.take() else {
            return;
        };
        if worse.into_iter().any(|kind| scene.coverage.took_place(kind)) || process.broker.close().is_err() {
            return;
        }
        let disk = Arc::new(self.disk.after_kill());
        let report = ClosedStore::open(disk, ROOT).and_then(|store| store.verify(&mut |_| {}));
        let what = match report {
            Ok(report) if report.verdict() == Verdict::Clean => return,
            Ok(report) => format!("a closed store is not what was written: {:?}", report.findings),
            Err(error) => format!("a closed store cannot be looked at: {error}"),
        };
        scene.ledger.broken(Promise::Opens, what);
    }

    /// The last start of a run: after a loss of power, or in good order.
    pub(crate) fn start_for_audit(&mut self, scene: &mut Scene, power_cut: bool) {
        if power_cut {
            self.ends(scene, FaultKind::PowerCut, 1);
        } else if let Some(process) = &self.process {
            if process.broker.close().is_ok() {
                scene.ledger.offsets.closed();
            }
            self.ends(scene, FaultKind::Restart, 1);
        }
        self.start(scene);
    }
}
