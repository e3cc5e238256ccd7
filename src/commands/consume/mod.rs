//! `kourou consume`: a full member of a consumer group. It shares the queues with the other members, commits what it has
//! printed, and leaves the group when it ends.

mod filter;
mod member;
mod pull;
mod share;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kourou_broker::name;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::cluster::{Cluster, Queue};
use super::message::Message;
use crate::cli::Consume;
use crate::output::{Paint, print_line};
use crate::stop::Stop;
use filter::Filter;
use member::Member;
use pull::Batch;

/// How often the group is looked at, beside the moments when the broker says that it has changed; and how often the broker
/// hears that this member is alive.
const REBALANCE_INTERVAL: Duration = Duration::from_secs(10);

/// Batches that wait to be printed; the pulls behind them wait too.
const BATCHES_WAITING_MAX: usize = 4;

pub(super) async fn run(consume: Consume) -> Result<()> {
    name::check_topic(&consume.topic).with_context(|| format!("topic '{}'", consume.topic))?;
    name::check_group(&consume.group).with_context(|| format!("group '{}'", consume.group))?;
    let filter = match &consume.sql {
        Some(expression) => Filter::sql(expression).with_context(|| format!("--sql '{expression}'"))?,
        None => Filter::tags(&consume.tag),
    };
    let changed = Arc::new(Notify::new());
    let cluster = Arc::new(Cluster::with_changes(&consume.target, changed.clone()));
    let member = Arc::new(Member::join(cluster, &consume, filter).await?);
    let outcome = receive(&member, &consume, &changed).await;
    // An interrupted group learns at once that its queues are free.
    let left = member.leave().await;
    outcome.and(left)
}

async fn receive(member: &Arc<Member>, consume: &Consume, changed: &Notify) -> Result<()> {
    let mut stop = Stop::new()?;
    let mut rebalance = tokio::time::interval(REBALANCE_INTERVAL);
    let (sender, mut batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let mut pulls = Pulls::default();
    let mut printer = Printer::new(consume);
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(()),
            _ = rebalance.tick() => match member.share().await {
                Ok(queues) => pulls.own(queues, member, &sender),
                // The queues that were ours stay ours, as far as we know.
                Err(error) => member.trouble(&error),
            },
            () = changed.notified() => rebalance.reset_immediately(),
            Some(batch) = batches.recv() => {
                let batch: Batch = batch?;
                // A queue that went to another member is that member's to print.
                if !pulls.0.contains_key(&batch.queue) {
                    continue;
                }
                let next_offset = printer.print(&batch)?;
                let committed = member.commit(&batch.queue, next_offset).await;
                if printer.left == Some(0) {
                    return committed;
                }
                if let Err(error) = committed {
                    // The next commit of this queue says it, too.
                    member.trouble(&error);
                }
            }
        }
    }
}

/// The pulls of the queues that are ours now.
#[derive(Debug, Default)]
struct Pulls(BTreeMap<Queue, JoinHandle<()>>);

impl Pulls {
    /// Ends the pulls of queues that are no longer ours and begins those of new ones.
    fn own(&mut self, queues: Vec<Queue>, member: &Arc<Member>, sender: &mpsc::Sender<Result<Batch>>) {
        self.0.retain(|queue, pull| {
            let keep = queues.contains(queue);
            if !keep {
                pull.abort();
            }
            keep
        });
        for queue in queues {
            self.0
                .entry(queue.clone())
                .or_insert_with(|| tokio::spawn(pull::run(member.clone(), queue, sender.clone())));
        }
    }
}

impl Drop for Pulls {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

/// How messages are shown, and how many more.
#[derive(Debug)]
struct Printer {
    json: bool,
    paint: Paint,
    terminal: bool,
    left: Option<u64>,
}

impl Printer {
    fn new(consume: &Consume) -> Self {
        Self {
            json: consume.target.json,
            paint: Paint::stdout(),
            terminal: io::stdout().is_terminal(),
            left: consume.count,
        }
    }

    /// Prints the batch as far as the count goes, and tells the offset behind the last message printed.
    fn print(&mut self, batch: &Batch) -> Result<i64> {
        let mut bytes = &batch.records[..];
        while !bytes.is_empty() {
            let message = Message::take(&mut bytes)?;
            let offset = i64::try_from(message.offset()).unwrap_or(i64::MAX);
            if !batch.filter.matches(message.tag()) {
                continue;
            }
            if self.left == Some(0) {
                return Ok(offset);
            }
            self.message(&message)?;
            self.left = self.left.map(|left| left - 1);
        }
        Ok(batch.next_offset)
    }

    fn message(&self, message: &Message<'_>) -> Result<()> {
        if self.json {
            return print_line(&message.json()?);
        }
        if self.terminal {
            return print_line(&message.line(self.paint));
        }
        // Bytes as they came, so that what `produce` read from a file can be written to one.
        let mut stdout = io::stdout().lock();
        stdout.write_all(message.body())?;
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    }
}
