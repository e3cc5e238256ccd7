//! A `kourou` process: started on ports and a folder of one's choice, stopped cleanly or killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Ports, wait_until, wire};

/// What is tested: the binary that was built with the tests, unless `KOUROU_TEST_BINARY` names another.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("KOUROU_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_kourou").into(), PathBuf::from)
}

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Killed when dropped, if it still runs.
#[derive(Debug)]
pub(crate) struct Kourou {
    child: Child,
    ports: Ports,
    log: PathBuf,
}

impl Kourou {
    /// Starts the process and returns at once. What it prints goes to `kourou.log` beside its store.
    pub(crate) fn start(folder: &Path, ports: Ports, extra: &[&str]) -> Result<Self> {
        let log = folder.join("kourou.log");
        let out = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(binary())
            .arg("--data")
            .arg(folder.join("store"))
            .args(["--namesrv-port", &ports.namesrv.to_string()])
            .args(["--broker-port", &ports.broker.to_string()])
            .args(["--grpc-port", &ports.grpc.to_string()])
            .args(["--http-port", "0"])
            .args(extra)
            .env("KOUROU_QUIC_PORT", "0")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("starting kourou")?;
        Ok(Self { child, ports, log })
    }

    /// Starts the process and waits until it serves.
    pub(crate) fn start_ready(folder: &Path, ports: Ports, extra: &[&str]) -> Result<Self> {
        let mut kourou = Self::start(folder, ports, extra)?;
        kourou.wait_ready()?;
        Ok(kourou)
    }

    /// Returns once the name server routes to the broker.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let namesrv = self.ports.namesrv_addr();
        wait_until("kourou serves", READY_LIMIT, || {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "kourou ended with {status} instead of serving\n{}",
                    self.tail_of_log()
                );
            }
            Ok(wire::routes_to_a_broker(&namesrv))
        })
    }

    /// SIGTERM, and the process has to end by itself, successfully.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        ensure!(status.success(), "sending SIGTERM: {status}");
        let mut ended: Option<ExitStatus> = None;
        wait_until("kourou ends after SIGTERM", STOP_LIMIT, || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        let status = ended.context("no exit status")?;
        ensure!(
            status.success(),
            "kourou ended with {status}\n{}",
            self.tail_of_log()
        );
        Ok(())
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        ensure!(
            self.child.try_wait()?.is_none(),
            "kourou ended by itself\n{}",
            self.tail_of_log()
        );
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// What the process printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last of what the process printed.
    pub(crate) fn tail_of_log(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Kourou {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
