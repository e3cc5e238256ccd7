//! What the black-box tests share: a `kourou` process on ports of its own, and the client programs that talk to it.

#![allow(dead_code, reason = "every test binary uses its own share of this")]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub(crate) mod broker;
pub(crate) mod disk;
pub(crate) mod installed;
pub(crate) mod programs;
pub(crate) mod survive;
pub(crate) mod wire;

/// Ports of a name server, a broker and its gRPC endpoint that were free a moment ago.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) namesrv: u16,
    pub(crate) broker: u16,
    pub(crate) grpc: u16,
}

impl Ports {
    pub(crate) fn free() -> Result<Self> {
        // All are held until all are known, so that they differ.
        let listeners = [
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        ];
        Ok(Self {
            namesrv: listeners[0].local_addr()?.port(),
            broker: listeners[1].local_addr()?.port(),
            grpc: listeners[2].local_addr()?.port(),
        })
    }

    pub(crate) fn namesrv_addr(&self) -> String {
        format!("127.0.0.1:{}", self.namesrv)
    }

    pub(crate) fn grpc_addr(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    pub(crate) fn broker_addr(&self) -> String {
        format!("127.0.0.1:{}", self.broker)
    }
}

/// Held by whoever starts processes: some cases measure time, and all of them want the machine for themselves.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty folder below the target folder: on a real disk, where the system's temporary folder may be in memory.
pub(crate) fn fresh_folder(name: &str) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .context("making a folder for a test")
}

/// Where the client programs are built, kept from run to run.
pub(crate) fn programs_folder() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("clients")
}

/// Prints past the test runner's capture: these tests are long, and what they find is worth seeing when they pass.
pub(crate) fn say(line: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody is left to be told if this fails.
    let _ = writeln!(err, "{line}");
}

/// Looks every few milliseconds until the condition holds.
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > limit {
            bail!("not within {limit:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A number from the environment, or what is usual.
pub(crate) fn number_from_env(name: &str, usual: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{name}={text} is not a number")),
        Err(_) => Ok(usual),
    }
}
