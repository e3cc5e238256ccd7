//! The commands that speak to a running cluster, kourou's or Apache's; and those that look at a store that is closed.

mod bench;
mod cluster;
mod consume;
mod find;
mod group;
mod group_create;
#[cfg(feature = "quic")]
mod link;
mod message;
mod produce;
mod reset;
mod store;
mod topic;
mod when;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;

pub(crate) use group::is_system as is_system_group;

use crate::cli::bench::Bench;
use crate::cli::store::Store;
use crate::cli::{Consume, Find, Group, Produce, Topic};

pub(crate) fn produce(produce: Produce) -> anyhow::Result<()> {
    block_on(produce::run(produce))
}

pub(crate) fn consume(consume: Consume) -> anyhow::Result<()> {
    block_on(consume::run(consume))
}

pub(crate) fn find(find: Find) -> anyhow::Result<()> {
    block_on(find::run(find))
}

pub(crate) fn topic(topic: Topic) -> anyhow::Result<()> {
    block_on(topic::run(topic))
}

pub(crate) fn group(group: Group) -> anyhow::Result<()> {
    block_on(group::run(group))
}

pub(crate) fn bench(bench: Bench) -> anyhow::Result<()> {
    bench::run(bench)
}

pub(crate) fn store(store: &Store) -> ExitCode {
    store::run(store)
}

#[cfg(feature = "quic")]
pub(crate) fn link(link: crate::cli::Link) -> anyhow::Result<()> {
    crate::logging::init(&crate::config::Settings::default())?;
    block_on(link::run(link))
}

/// A command needs one thread; standard input is read on another.
fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the async runtime")?;
    let outcome = runtime.block_on(command);
    // Whoever still reads a terminal must not keep the process.
    runtime.shutdown_background();
    outcome
}
