//! One sync of the commit log fails: who says SEND_OK? kourou and Apache's broker, each on a disk that fails once.
//!
//! `tests/faultfs/demonstrate` builds what is needed, and runs this in a network and a mount namespace of its own:
//!
//! `demonstrate --kourou PATH --apache PATH --apache-version TEXT --work DIR`
//!
//! Each broker keeps its messages durably: kourou as it is (`--flush durable`), Apache's with `flushDiskType=SYNC_FLUSH`. One
//! producer sends one message at a time. One sync of the commit log fails with EIO, and what it should have kept never reaches the
//! disk. The producer goes on. Then the broker is killed and the power goes, at once or after the broker was started again
//! and has taken more; and the producer looks for everything that was acknowledged.

mod brokers;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use brokers::{Broker, Kind};
use kourou_faultfs::witness::{Answer, Witness};

/// Sent before the sync fails.
const BEFORE: usize = 20;
/// Sent after it.
const AFTER: usize = 20;
/// How many sends may be answered until the sync fails, which is the next one of the commit log.
const UNTIL_IT_FAILS: usize = 200;
/// Whole pages of its own: a page that a later message shares is written again with that one, and what was lost on it comes back.
const BODY_BYTES: usize = 16 * 1024;

/// What became of one broker.
struct Outcome {
    broker: String,
    what: &'static str,
    failed: String,
    after: String,
    acknowledged: usize,
    lost: usize,
}

fn main() -> Result<()> {
    let mut out = std::io::stdout().lock();
    let paths = Paths::parse(std::env::args().skip(1))?;
    let mut outcomes = Vec::new();
    for kind in [Kind::Kourou, Kind::Apache] {
        for restarts in [false, true] {
            let outcome = fail_one_sync(kind, restarts, &paths, &mut out)?;
            outcomes.push(outcome);
        }
    }
    writeln!(out)?;
    writeln!(
        out,
        "| broker | then | the send whose sync failed | the {AFTER} sends after it | acknowledged | of these lost |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for outcome in outcomes {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            outcome.broker, outcome.what, outcome.failed, outcome.after, outcome.acknowledged, outcome.lost
        )?;
    }
    Ok(())
}

/// Programs, and a folder for stores.
struct Paths {
    kourou: PathBuf,
    apache: PathBuf,
    apache_version: String,
    work: PathBuf,
}

impl Paths {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut kourou, mut apache, mut version, mut work) = (None, None, None, None);
        while let Some(flag) = arguments.next() {
            let value = arguments
                .next()
                .with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--kourou" => kourou = Some(value.into()),
                "--apache" => apache = Some(value.into()),
                "--apache-version" => version = Some(value),
                "--work" => work = Some(value.into()),
                _ => bail!("unknown option {flag}"),
            }
        }
        Ok(Self {
            kourou: kourou.context("--kourou is missing")?,
            apache: apache.context("--apache is missing")?,
            apache_version: version.context("--apache-version is missing")?,
            work: work.context("--work is missing")?,
        })
    }
}

fn fail_one_sync(kind: Kind, restarts: bool, paths: &Paths, out: &mut impl Write) -> Result<Outcome> {
    let mut broker = Broker::new(kind, paths)?;
    let name = broker.name(paths)?;
    let what = if restarts {
        "killed, started again, more sent, killed, power cut"
    } else {
        "killed, power cut"
    };
    writeln!(out, "\n{name}: {what}")?;
    broker.start(paths)?;
    let mut witness = Witness::new(broker.address(), BODY_BYTES);
    witness.create_topic()?;
    for sent in 0..BEFORE {
        let answer = witness.send();
        ensure!(
            answer == Answer::Ok,
            "message {sent}, before anything fails: {answer}"
        );
    }
    writeln!(out, "  {BEFORE} sent: SEND_OK each")?;

    broker.disk.fail_sync(broker.commit_log(), 0);
    let mut failed = Answer::Ok;
    for _ in 0..UNTIL_IT_FAILS {
        failed = witness.send();
        if !broker.disk.failed_syncs().is_empty() {
            break;
        }
    }
    let failures = broker.disk.failed_syncs();
    let [failure] = failures.as_slice() else {
        bail!("no sync of the commit log was asked for");
    };
    writeln!(
        out,
        "  the disk fails a sync of {}, {} bytes will never be on it\n  the answer to that send: {failed}",
        failure.path.display(),
        failure.lost_bytes
    )?;
    let after = send(&mut witness, AFTER);
    writeln!(out, "  {AFTER} more sent: {after}")?;
    broker.kill(paths)?;
    if restarts {
        broker.start(paths)?;
        witness.wait_ready()?;
        let again = send(&mut witness, AFTER);
        writeln!(out, "  started again, {AFTER} more sent: {again}")?;
        broker.kill(paths)?;
    }
    broker.disk.power_cut()?;
    broker.start(paths)?;
    witness.wait_ready()?;
    let lost = witness.lost()?;
    let acknowledged = witness.acknowledged();
    writeln!(
        out,
        "  killed, power cut, started again: of {acknowledged} acknowledged {} are lost: {lost:?}",
        lost.len()
    )?;
    broker.kill(paths)?;
    Ok(Outcome {
        broker: name,
        what,
        failed: short(&failed),
        after,
        acknowledged,
        lost: lost.len(),
    })
}

/// What so many sends were answered, in short.
fn send(witness: &mut Witness, count: usize) -> String {
    let mut said: Vec<(String, usize)> = Vec::new();
    for _ in 0..count {
        let answer = short(&witness.send());
        match said.last_mut() {
            Some((last, times)) if *last == answer => *times += 1,
            _ => said.push((answer, 1)),
        }
    }
    let said: Vec<String> = said
        .into_iter()
        .map(|(answer, times)| format!("{times} x {answer}"))
        .collect();
    said.join(", ")
}

fn short(answer: &Answer) -> String {
    match answer {
        Answer::Ok => "SEND_OK".to_owned(),
        Answer::Refused { code, .. } => format!("refused ({code})"),
        Answer::None(_) => "no answer".to_owned(),
    }
}
