//! What was hit by what: a cell for each fault and each thing that was going on. An empty cell is a promise that nobody tried
//! to break there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use kourou_engine::disk::sim::Op;

use crate::faults::FaultKind;
use crate::wire::Kind;

/// What was going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Going {
    /// A request of this kind was at the broker, or on its way from there.
    Asked(Kind),
    /// Timers, deliveries that were not acknowledged or checks of transactions were being written.
    Own,
    /// The disk did this.
    Disk(DiskWork),
    /// The store was being opened.
    Opening,
}

/// What a disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskWork {
    /// A group of the log.
    Group,
    /// Zeros ahead of the log, and their sync.
    Zeros,
    /// A checkpoint.
    Checkpoint,
    /// The index of a segment.
    Index,
    /// Names.
    Names,
}

impl DiskWork {
    /// All of it.
    pub const ALL: [Self; 5] = [
        Self::Group,
        Self::Zeros,
        Self::Checkpoint,
        Self::Index,
        Self::Names,
    ];

    /// What an operation was for.
    pub fn of(op: &Op) -> Self {
        match op {
            Op::Group { .. } => Self::Group,
            Op::Write { path, .. } | Op::Sync { path } => Self::of_file(path),
            _ => Self::Names,
        }
    }

    /// What a file is for.
    pub fn of_file(path: &Path) -> Self {
        let folder = path.parent().and_then(Path::file_name);
        if folder.is_some_and(|name| name == "log") {
            Self::Zeros
        } else if folder.is_some_and(|name| name == "index") {
            Self::Index
        } else {
            Self::Checkpoint
        }
    }
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    cells: BTreeMap<(FaultKind, Going), u64>,
    faults: BTreeMap<FaultKind, u64>,
}

impl Coverage {
    /// A fault took place.
    pub fn fault(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Whether one of this kind did.
    pub fn took_place(&self, kind: FaultKind) -> bool {
        self.faults.contains_key(&kind)
    }

    /// It met this.
    pub fn hit(&mut self, kind: FaultKind, going: Going) {
        *self.cells.entry((kind, going)).or_default() += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.cells {
            *self.cells.entry(*cell).or_default() += count;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
    }

    /// How many faults there were.
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// What a fault can meet.
    pub fn columns(kind: FaultKind) -> Vec<Going> {
        let asked = Kind::ALL.into_iter().map(Going::Asked);
        let disk = DiskWork::ALL.into_iter().map(Going::Disk);
        match kind {
            FaultKind::Kill | FaultKind::PowerCut => asked
                .chain([Going::Own])
                .chain(disk)
                .chain([Going::Opening])
                .collect(),
            FaultKind::WriteFails => disk.chain([Going::Opening]).collect(),
            // Names have no content that could be dropped.
            FaultKind::SyncDrops => disk
                .filter(|going| *going != Going::Disk(DiskWork::Names))
                .chain([Going::Opening])
                .collect(),
            FaultKind::Full => [DiskWork::Zeros, DiskWork::Checkpoint, DiskWork::Index]
                .into_iter()
                .map(Going::Disk)
                .collect(),
            FaultKind::Flip => [
                DiskWork::Group,
                DiskWork::Zeros,
                DiskWork::Checkpoint,
                DiskWork::Index,
            ]
            .into_iter()
            .map(Going::Disk)
            .collect(),
            // A client that beats or asks for a lock is not the only one to be met.
            FaultKind::Stall
            | FaultKind::ClockSet
            | FaultKind::Restart
            | FaultKind::LinkCut
            | FaultKind::HalfOpen
            | FaultKind::SlowLink
            | FaultKind::ClientDies => asked.collect(),
        }
    }

    /// The cells that nothing has hit.
    pub fn empty(&self) -> Vec<(FaultKind, Going)> {
        FaultKind::ALL
            .into_iter()
            .flat_map(|kind| Self::columns(kind).into_iter().map(move |going| (kind, going)))
            .filter(|cell| !self.cells.contains_key(cell))
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in FaultKind::ALL {
            let count = self.faults.get(&kind).copied().unwrap_or(0);
            write!(f, "{:<11}{count:>8} |", format!("{kind:?}"))?;
            for going in Self::columns(kind) {
                let count = self.cells.get(&(kind, going)).copied().unwrap_or(0);
                let name = match going {
                    Going::Asked(kind) => format!("{kind:?}"),
                    Going::Own => "own".to_owned(),
                    Going::Disk(work) => format!("{work:?}"),
                    Going::Opening => "opening".to_owned(),
                };
                write!(f, " {name} {count}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
