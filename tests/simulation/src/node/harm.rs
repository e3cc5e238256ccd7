//! What goes wrong with the machine: its process, its disk and its clock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use kourou_engine::disk::sim::{Harm, Op, SimDisk, Survivors};
use rustix::io::Errno;

use super::{LAST_GROUPS_SIZE_BYTES, Node, Process, RESTART_MS_MAX, ROOT, SEGMENT_SIZE_BYTES};
use crate::coverage::{DiskWork, Going};
use crate::faults::{Fault, FaultKind};
use crate::ledger::MessageId;
use crate::random::Random;
use crate::scene::Scene;
use crate::schedule::Event;
use crate::wire::Request;

/// What fits on a disk that is not full.
const CAPACITY_BYTES: u64 = 1 << 40;

/// A bit that is another.
#[derive(Debug, Clone)]
pub(super) struct Flipped {
    path: PathBuf,
    position: u64,
    bit: u8,
}

/// What a fault does to the operation of the disk that it meets.
fn harm(fault: &Fault) -> Option<Harm> {
    match fault.kind {
        FaultKind::Kill | FaultKind::PowerCut => Some(Harm::Crash(fault.tear)),
        FaultKind::WriteFails => Some(Harm::Fail(Errno::IO, fault.tear)),
        FaultKind::SyncDrops => Some(Harm::Drop),
        _ => None,
    }
}

/// Whether a fault makes sense of an operation: what is no sync has nothing that a failed sync could drop.
fn may_harm(kind: FaultKind, op: &Op) -> bool {
    kind != FaultKind::SyncDrops || matches!(op, Op::Sync { .. } | Op::Group { .. })
}

impl Node {
    /// A fault that waits for something.
    pub(crate) fn aim(&mut self, scene: &mut Scene, fault: Fault) {
        match (fault.aim, fault.kind) {
            (Some(Going::Own), _) => self.for_own_work.push(fault),
            (Some(Going::Opening), _) => self.for_opening.push(fault),
            (Some(Going::Disk(work)), FaultKind::Flip) => self.flip(scene, fault, Some(work)),
            (Some(Going::Disk(work)), _) if harm(&fault).is_some() => {
                self.wait_for(fault, 0, move |op| {
                    DiskWork::of(op) == work && may_harm(fault.kind, op)
                });
            }
            _ => self.fault(scene, fault),
        }
    }

    /// The disk does what a fault says to an operation that is `wanted`, after so many others of these. The machine dies of one thing
    /// at a time.
    fn wait_for(&mut self, fault: Fault, after: u64, wanted: impl Fn(&Op) -> bool + Send + 'static) {
        let Some(harm) = harm(&fault) else { return };
        if matches!(harm, Harm::Crash(_)) {
            if self.crash.is_some() {
                return;
            }
            self.crash = Some(fault.kind);
        }
        let tag = self.next_tag;
        self.next_tag += 1;
        self.awaited.insert(tag, fault);
        let left = AtomicU64::new(after);
        let wanted = move |op: &Op| wanted(op) && left.fetch_sub(1, Ordering::Relaxed) == 0;
        self.disk.harm_next(tag, wanted, harm);
    }

    /// The store is about to be opened.
    pub(super) fn aim_at_opening(&mut self) {
        if let Some(fault) = self.for_opening.pop() {
            self.wait_for(fault, fault.random % 6, move |op| may_harm(fault.kind, op));
        }
    }

    /// A fault that concerns the machine.
    pub(crate) fn fault(&mut self, scene: &mut Scene, fault: Fault) {
        match (fault.kind, fault.after_operations) {
            (FaultKind::Kill | FaultKind::PowerCut, None) if self.process.is_some() => {
                scene.coverage.fault(fault.kind);
                self.meets_asked(scene, fault.kind);
                self.ends(scene, fault.kind, fault.lasts_ms.min(RESTART_MS_MAX));
            }
            (FaultKind::Kill | FaultKind::PowerCut, Some(after)) => self.wait_for(fault, after, |_| true),
            (FaultKind::WriteFails | FaultKind::SyncDrops, after) => {
                self.wait_for(fault, after.unwrap_or(0), |_| true);
            }
            (FaultKind::Full, _) => {
                let spare_bytes = fault.random % (64 << 10);
                self.disk.set_capacity_bytes(self.used_bytes() + spare_bytes);
                self.is_full = true;
                // Beside a full disk segments do not wait for what is out of them.
                scene.ledger.groups.lets_go |= self.expires();
                scene.coverage.fault(fault.kind);
                scene.after(fault.lasts_ms, Event::FaultEnds(fault));
            }
            (FaultKind::Stall, _) => {
                self.stalled_until_ms = scene.now_ms + fault.lasts_ms;
                scene.coverage.fault(fault.kind);
                self.meets_asked(scene, fault.kind);
                scene.after(fault.lasts_ms, Event::FaultEnds(fault));
            }
            (FaultKind::Flip, _) => self.flip(scene, fault, None),
            (FaultKind::Restart, _) => self.restart(scene, fault),
            (FaultKind::ClockSet, _) => {
                scene.clock.set_by(fault.lasts_ms);
                scene.ledger.groups.clock_set();
                scene.ledger.clock_sets += 1;
                scene.coverage.fault(fault.kind);
                self.meets_asked(scene, fault.kind);
                self.plan_work(scene, 0);
            }
            _ => {}
        }
    }

    /// What went wrong is over.
    pub(crate) fn fault_ends(&mut self, scene: &mut Scene, fault: Fault) {
        match fault.kind {
            FaultKind::Full => {
                self.room();
                let now_ms = scene.now_ms;
                scene.ledger.offsets.refused(now_ms);
            }
            FaultKind::Flip => self.mend(),
            FaultKind::Stall => self.meets_asked(scene, fault.kind),
            _ => {}
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.mend();
        self.room();
        self.stalled_until_ms = 0;
        self.crash = None;
        self.awaited.clear();
        self.for_own_work.clear();
        self.for_opening.clear();
        self.disk.forget_faults();
    }

    pub(super) fn used_bytes(&self) -> u64 {
        use kourou_engine::disk::Disk;
        self.disk.set_capacity_bytes(CAPACITY_BYTES);
        self.disk
            .free_bytes(Path::new(ROOT))
            .map_or(0, |free_bytes| CAPACITY_BYTES - free_bytes)
    }

    pub(super) fn room(&mut self) {
        self.is_full = false;
        self.disk.set_capacity_bytes(CAPACITY_BYTES);
    }

    pub(super) fn mend(&mut self) {
        for flipped in self.flips.drain(..) {
            // The file may be gone by now.
            let _ = self.disk.flip_bit(&flipped.path, flipped.position, flipped.bit);
        }
    }

    /// Flips a bit somewhere: in any file, but not in the last groups of the log, whose damage looks like a torn write.
    pub(super) fn flip(&mut self, scene: &mut Scene, fault: Fault, work: Option<DiskWork>) {
        use kourou_engine::disk::Disk;
        let Some(tail) = self.broker().map(|broker| broker.engine().watermark()) else {
            return;
        };
        let mut random = Random::new(fault.random, "flip");
        let folders = [ROOT.to_owned(), format!("{ROOT}/log"), format!("{ROOT}/index")];
        let folder = match work {
            None => random.pick(&folders).clone(),
            Some(DiskWork::Index) => folders[2].clone(),
            Some(DiskWork::Group | DiskWork::Zeros) => folders[1].clone(),
            Some(_) => folders[0].clone(),
        };
        let Ok(mut files) = self.disk.list(Path::new(&folder)) else {
            return;
        };
        files.retain(|file| file.size_bytes > 0 && file.name != "lock");
        files.sort_by(|one, other| one.name.cmp(&other.name));
        if files.is_empty() {
            return;
        }
        let file = random.pick(&files).clone();
        let path = Path::new(&folder).join(&file.name);
        let end = match file.name.parse::<u64>() {
            Ok(start) if folder.ends_with("log") => tail
                .saturating_sub(start)
                .saturating_sub(LAST_GROUPS_SIZE_BYTES)
                .min(file.size_bytes),
            _ => file.size_bytes,
        };
        let is_checkpoint = file.name.starts_with("checkpoint");
        // With both of them damaged there is none.
        if end == 0 || is_checkpoint && self.checkpoint_flipped {
            return;
        }
        let flipped = Flipped {
            position: random.below(end),
            bit: random.below(8) as u8,
            path,
        };
        scene.history.note(scene.now_ms, format_args!("{flipped:?}"));
        let is_live_segment = file
            .name
            .parse::<u64>()
            .is_ok_and(|start| start + SEGMENT_SIZE_BYTES > tail);
        let work = match DiskWork::of_file(&flipped.path) {
            DiskWork::Zeros if !is_live_segment => DiskWork::Group,
            work => work,
        };
        if self
            .disk
            .flip_bit(&flipped.path, flipped.position, flipped.bit)
            .is_ok()
        {
            self.had_flips = true;
            match work {
                // Made again, or passed over: it stays as it is.
                DiskWork::Index => {}
                DiskWork::Checkpoint if file.name != "identity" => self.checkpoint_flipped = true,
                _ => self.flips.push(flipped),
            }
            scene.coverage.fault(fault.kind);
            scene.coverage.hit(fault.kind, Going::Disk(work));
            scene.after(fault.lasts_ms, Event::FaultEnds(fault));
        }
    }

    pub(super) fn restart(&mut self, scene: &mut Scene, fault: Fault) {
        let Some(process) = &self.process else { return };
        let broker = process.broker.clone();
        let closed = broker.close();
        self.disk_met(scene, false);
        scene
            .history
            .note(scene.now_ms, format_args!("closed: {}", closed.is_ok()));
        self.speak(scene);
        if self.process.is_none() {
            return; // It crashed meanwhile.
        }
        if closed.is_ok() && !self.is_full {
            scene.ledger.offsets.closed();
        }
        scene.coverage.fault(fault.kind);
        self.meets_asked(scene, fault.kind);
        self.ends(scene, fault.kind, fault.lasts_ms.min(RESTART_MS_MAX));
    }

    /// Which requests a fault meets.
    pub(super) fn meets_asked(&mut self, scene: &mut Scene, kind: FaultKind) {
        let Some(process) = &self.process else { return };
        for request in process.asked.values() {
            scene.coverage.hit(kind, Going::Asked(request.kind()));
        }
        // What travels meets it, too.
        let travelling: Vec<_> = scene.waiting.values().map(|waiting| waiting.kind).collect();
        for one in travelling {
            scene.coverage.hit(kind, Going::Asked(one));
        }
        if process.own_work {
            scene.coverage.hit(kind, Going::Own);
        }
    }

    /// Looks which of the faults that wait for the disk have come.
    pub(super) fn disk_met(&mut self, scene: &mut Scene, opening: bool) {
        for at in self.disk.take_refused() {
            if let Some(op) = self.disk.operation(at) {
                scene
                    .coverage
                    .hit(FaultKind::Full, Going::Disk(DiskWork::of(&op)));
            }
        }
        for (tag, at) in self.disk.take_harmed() {
            let met = self.awaited.remove(&tag).zip(self.disk.operation(at));
            let Some((fault, op)) = met else { continue };
            scene
                .history
                .note(scene.now_ms, format_args!("{:?} meets {op:?}", fault.kind));
            scene.coverage.fault(fault.kind);
            scene.coverage.hit(fault.kind, Going::Disk(DiskWork::of(&op)));
            if opening {
                scene.coverage.hit(fault.kind, Going::Opening);
                self.opened_badly = true;
            }
            if matches!(fault.kind, FaultKind::Kill | FaultKind::PowerCut) {
                self.meets_asked(scene, fault.kind);
            }
            let stops = matches!(op, Op::Group { .. });
            if let Some(process) = &mut self.process
                && stops
                && matches!(fault.kind, FaultKind::WriteFails | FaultKind::SyncDrops)
            {
                process.failed_at.get_or_insert(at);
            }
        }
    }

    /// The scripted crash has come.
    pub(super) fn crashed(&mut self, scene: &mut Scene) {
        self.disk_met(scene, false);
        let kind = self.crash.unwrap_or(FaultKind::Kill);
        self.ends(scene, kind, RESTART_MS_MAX);
    }

    /// What the next start finds.
    pub(super) fn after(&mut self, kind: FaultKind) -> SimDisk {
        self.crash = None;
        self.awaited.clear();
        if kind == FaultKind::PowerCut {
            let survivors = match self.random.below(4) {
                0 => Survivors::None,
                1 => Survivors::All,
                _ => Survivors::Random(self.random.bits()),
            };
            self.disk.after_power_cut(survivors)
        } else {
            self.disk.after_kill()
        }
    }

    /// The process is gone. Another one is started before long.
    pub(super) fn ends(&mut self, scene: &mut Scene, kind: FaultKind, within_ms: i64) {
        let Some(process) = self.process.take() else {
            return;
        };
        scene
            .history
            .note(scene.now_ms, format_args!("the broker is gone: {kind:?}"));
        let was = self.disk.clone();
        self.disk = self.after(kind);
        // Whatever it still does, it does for nobody.
        was.crash();
        self.lost_with(scene, &process);
        let Process { broker, held, .. } = process;
        drop(held);
        // What waits to be written holds the broker; let go of it.
        let _ = broker.engine().close();
        // Its connections are gone with it.
        for client in 0..scene.links.len() {
            scene.cut(client, 0);
        }
        let after_ms = self.random.between(1, within_ms.max(1));
        scene.after(after_ms, Event::Start);
    }

    /// Pops whose answers nobody hears may have happened.
    pub(super) fn lost_with(&mut self, scene: &mut Scene, process: &Process) {
        let groups: BTreeSet<String> = process
            .asked
            .values()
            .filter_map(|request| match request {
                Request::Pop { pop, .. } | Request::LitePop { pop, .. } => Some(pop.group.to_string()),
                _ => None,
            })
            .collect();
        scene.ledger.lites.broker_gone();
        for group in groups {
            let all = 0..scene.ledger.messages().len() as MessageId;
            scene.ledger.groups.pop_lost(&group, all);
        }
    }
}
