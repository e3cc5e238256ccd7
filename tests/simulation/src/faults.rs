//! What goes wrong, and when: decided by the seed before anything happens.

use kourou_engine::disk::sim::Tear;

use crate::coverage::{Coverage, Going};
use crate::random::Random;
use crate::wire::{ClientId, Kind};

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The process is killed; what the operating system has stays.
    Kill,
    /// The power goes; what was not synced may be lost, in any part.
    PowerCut,
    /// A write or a sync fails once, perhaps after a part of it.
    WriteFails,
    /// A sync fails once, and what it should have made durable is gone; the next one succeeds.
    SyncDrops,
    /// The disk is full for a while.
    Full,
    /// The disk takes its time.
    Stall,
    /// Somebody sets the clock.
    ClockSet,
    /// A bit of a file is another for a while.
    Flip,
    /// The broker stops in good order and starts again.
    Restart,
    /// A client's connection breaks, and no other one can be made for a while.
    LinkCut,
    /// What the broker answers is lost, and nobody notices.
    HalfOpen,
    /// A connection is slow.
    SlowLink,
    /// A client is killed, and another one takes its place.
    ClientDies,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::PowerCut,
        Self::WriteFails,
        Self::SyncDrops,
        Self::Full,
        Self::Stall,
        Self::ClockSet,
        Self::Flip,
        Self::Restart,
        Self::LinkCut,
        Self::HalfOpen,
        Self::SlowLink,
        Self::ClientDies,
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// For how long, where that makes sense.
    pub lasts_ms: i64,
    /// After how many more operations of the disk; at once, if there is none.
    pub after_operations: Option<u64>,
    /// How much of the operation takes place.
    pub tear: Tear,
    /// Whose connection.
    pub client: ClientId,
    /// What it waits for, if it does.
    pub aim: Option<Going>,
    /// Decides the rest.
    pub random: u64,
}

/// The faults of one run, each with its time. None waits for a request that is `never` made.
pub fn plan(
    random: &mut Random,
    allowed: &[FaultKind],
    never: &[Kind],
    busy_ms: i64,
    clients: usize,
) -> Vec<(i64, Fault)> {
    // Not everything in every run: rare combinations need the others to be away.
    let chosen: Vec<FaultKind> = FaultKind::ALL
        .into_iter()
        .filter(|_| random.below(100) < 45)
        .filter(|kind| allowed.contains(kind))
        .collect();
    if chosen.is_empty() {
        return Vec::new();
    }
    let count = random.between(1, 14);
    let mut faults: Vec<(i64, Fault)> = (0..count)
        .map(|_| {
            let at_ms = random.between(1, busy_ms);
            let fault = fault(random, &chosen, never, clients);
            // Who waits for a request begins while there are still some to come.
            let waits = matches!(fault.aim, Some(Going::Asked(_)));
            (if waits { at_ms / 3 } else { at_ms }, fault)
        })
        .collect();
    faults.sort_by_key(|(at_ms, _)| *at_ms);
    faults
}

/// Requests that few make: faults wait for them more often.
const RARE: [Kind; 3] = [Kind::Recall, Kind::Batch, Kind::Bury];

fn fault(random: &mut Random, chosen: &[FaultKind], never: &[Kind], clients: usize) -> Fault {
    let kind = *random.pick(chosen);
    let lasts_ms = match kind {
        FaultKind::Stall => random.between(100, 6_000),
        FaultKind::Full => random.between(500, 20_000),
        FaultKind::ClockSet => *random.pick(&[-3_600_000, -5_000, -1, 1, 900, 70_000, 3_600_000]),
        FaultKind::Flip => random.between(1, 30_000),
        _ => random.between(100, 40_000),
    };
    let after_operations = match kind {
        FaultKind::WriteFails | FaultKind::SyncDrops => Some(random.below(12)),
        // Half of them in the middle of something.
        FaultKind::Kill | FaultKind::PowerCut if random.once_in(2) => Some(random.below(30)),
        _ => None,
    };
    let tear = match random.below(5) {
        0 => Tear::None,
        1 => Tear::All,
        2 => Tear::Prefix(random.below(9) as usize),
        3 => Tear::Without(random.below(8) as usize),
        _ => Tear::Random(random.bits()),
    };
    // Half of them wait for what they would rarely meet by themselves.
    let is_met = |going: &Going| !matches!(going, Going::Asked(kind) if never.contains(kind));
    let times = |going: &Going| match going {
        Going::Asked(kind) if RARE.contains(kind) => 3,
        _ => 1,
    };
    let aims: Vec<Going> = Coverage::columns(kind)
        .into_iter()
        .filter(is_met)
        .flat_map(|going| std::iter::repeat_n(going, times(&going)))
        .collect();
    let aim = random.once_in(2).then(|| *random.pick(&aims));
    Fault {
        kind,
        aim,
        lasts_ms,
        after_operations,
        tear,
        client: random.below(clients.max(1) as u64) as ClientId,
        random: random.bits(),
    }
}
