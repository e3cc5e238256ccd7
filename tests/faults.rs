//! The real binary on a disk that fails: `tests/faultfs` shows it a folder whose syncs fail, or that loses its power.
//!
//! Needs `/dev/fuse` and root; said aloud and left out where there is none.

mod support;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use kourou_faultfs::Mounted;
use kourou_faultfs::witness::{Answer, Witness};
use support::broker::Kourou;
use support::{Ports, alone, disk, fresh_folder, say};

/// So that a few hundred messages roll through segments, and build indexes.
const OPTIONS: [&str; 2] = ["--segment-size", "8MiB"];
const BODY_BYTES: usize = 64 * 1024;

/// kourou on a disk that can fail.
struct Case {
    kourou: Option<Kourou>,
    witness: Witness,
    ports: Ports,
    // Unmounted before the folder that it is in is removed.
    disk: Mounted,
    folder: tempfile::TempDir,
}

impl Case {
    /// Mounts the disk, starts the broker on it and makes the topic.
    fn begin() -> Result<Self> {
        let folder = fresh_folder("faults")?;
        let disk = disk::mount(folder.path())?;
        let ports = Ports::free()?;
        let mut case = Self {
            kourou: None,
            witness: Witness::new(ports.broker_addr().parse()?, BODY_BYTES),
            ports,
            disk,
            folder,
        };
        case.start()?;
        case.witness.create_topic()?;
        Ok(case)
    }

    fn start(&mut self) -> Result<()> {
        self.kourou = Some(Kourou::start_ready(self.folder.path(), self.ports, &OPTIONS)?);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.kourou.take().context("it does not run")?.kill()
    }

    /// Kills the broker, takes the power away under it and starts it again: everything that was acknowledged is there.
    fn survives_power_cut(&mut self) -> Result<()> {
        self.kill()?;
        self.disk.power_cut().context("cutting the power")?;
        self.start()?;
        self.witness.wait_ready()?;
        let lost = self.witness.lost()?;
        ensure!(lost.is_empty(), "acknowledged, and lost: {lost:?}");
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.kourou.take().context("it does not run")?.stop()
    }

    /// The first failed sync's file.
    fn failed_file(&self) -> Option<PathBuf> {
        Some(self.disk.failed_syncs().first()?.path.clone())
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() -> Result<()> {
    if !disk::can_fail()? {
        return Ok(());
    }
    let _machine = alone();
    let mut case = Case::begin()?;
    for cut in 1..=4 {
        for _ in 0..200 {
            let answer = case.witness.send();
            ensure!(answer == Answer::Ok, "{answer}");
        }
        case.survives_power_cut()
            .with_context(|| format!("power cut {cut}"))?;
    }
    let arrived = case.disk.arrivals();
    say(&format!(
        "4 power cuts: {} acknowledged, none lost; {} writes and {} syncs reached the disk",
        case.witness.acknowledged(),
        arrived.writes,
        arrived.syncs,
    ));
    case.stop()
}

/// Whichever sync of whichever file fails: nothing that was acknowledged is lost, once a send has failed none succeeds any more, the
/// answer says why, and after a restart all is well.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged_that_is_not_on_the_disk() -> Result<()> {
    if !disk::can_fail()? {
        return Ok(());
    }
    let _machine = alone();
    for (file, syncs) in [
        ("log/", vec![0, 1, 2, 3, 4, 5, 20, 200]),
        ("index/", vec![0, 1]),
        ("checkpoint", vec![0, 1, 2]),
    ] {
        for after in syncs {
            fail_one(file, after).with_context(|| format!("sync {after} of {file}"))?;
        }
    }
    Ok(())
}

fn fail_one(file: &str, after: u64) -> Result<()> {
    let mut case = Case::begin()?;
    case.disk.fail_sync(file, after);
    let mut refused = None;
    let mut sent_since = 0;
    while sent_since < 20 {
        let answer = case.witness.send();
        match (&refused, &answer) {
            (None, Answer::Ok) => {}
            (None, Answer::Refused { remark, .. }) => {
                ensure!(case.failed_file().is_some(), "refused for no reason: {remark}");
                refused = Some(answer);
            }
            (Some(_), Answer::Refused { .. }) => {}
            (_, Answer::None(why)) => anyhow::bail!("no answer: {why}"),
            (Some(first), Answer::Ok) => anyhow::bail!("acknowledged after '{first}'"),
        }
        ensure!(case.witness.acknowledged() < 2000, "no sync of it fails");
        sent_since += u64::from(case.failed_file().is_some());
    }
    let failed = case.disk.failed_syncs();
    let said = refused.map_or_else(|| "nothing was refused".to_owned(), |answer| answer.to_string());
    say(&format!(
        "sync {after} of {file} fails ({:?}): {} acknowledged, {said}",
        failed,
        case.witness.acknowledged(),
    ));
    case.survives_power_cut()?;
    let answer = case.witness.send();
    ensure!(answer == Answer::Ok, "after a restart: {answer}");
    case.stop()
}

/// Whoever follows the answer's advice restarts the broker, and the machine runs on: what the failed sync should have kept is still read
/// from memory then, and on no disk. So it must be written again before anything is kept behind it.
#[test]
fn what_a_failed_sync_left_in_memory_is_written_again_by_the_next_life() -> Result<()> {
    if !disk::can_fail()? {
        return Ok(());
    }
    let _machine = alone();
    let mut case = Case::begin()?;
    for life in 1..=3 {
        case.disk.fail_sync("log/", 10);
        while case.witness.send() == Answer::Ok {}
        ensure!(case.disk.failed_syncs().len() == life, "refused for no reason");
        case.kill()?;
        case.start()?;
        case.witness.wait_ready()?;
        for _ in 0..10 {
            let answer = case.witness.send();
            ensure!(answer == Answer::Ok, "after restart {life}: {answer}");
        }
    }
    case.survives_power_cut()?;
    case.stop()
}
