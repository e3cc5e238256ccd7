//! Unmodified clients on a link: they are given a local name server, and all their traffic goes by QUIC.

#![cfg(feature = "quic")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use support::broker::{Kourou, binary};
use support::programs::{self, JavaLine};
use support::{Ports, alone, fresh_folder, wait_until};

const SAID_LIMIT: Duration = Duration::from_secs(20);

/// A `kourou link` process; killed when dropped.
struct Link {
    child: Child,
    /// What it printed.
    lines: Vec<String>,
}

impl Link {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(binary())
            .arg("link")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting kourou link")?;
        let out = child.stdout.take().context("no output")?;
        let mut link = Self {
            child,
            lines: Vec::new(),
        };
        for line in BufReader::new(out).lines().take(3) {
            link.lines.push(line?);
        }
        ensure!(link.lines.len() == 3, "kourou link ended: {:?}", link.lines);
        Ok(link)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The broker's own TCP ports are in another network namespace as far as these clients know: its route names a port where nobody is.
#[test]
fn java_and_go_clients_work_through_a_link() -> Result<()> {
    let _machine = alone();
    let (Some(java), Some(go)) = (programs::java(JavaLine::Five)?, programs::go()?) else {
        return Ok(());
    };
    let folder = fresh_folder("quic")?;
    let (served, local) = (Ports::free()?, Ports::free()?);
    let quic = served.grpc.to_string();
    let nowhere = format!("127.0.0.1:{}", local.grpc);
    // Whoever followed a route past the link would find nobody.
    let arguments = ["--quic-port", &quic, "--advertise", &nowhere];
    let ports = Ports { grpc: 0, ..served };
    let kourou = Kourou::start_ready(folder.path(), ports, &arguments)?;
    let mut fingerprint = None;
    // It serves a moment before it says so.
    wait_until("the start says its fingerprint", SAID_LIMIT, || {
        let log = kourou.log();
        let mut lines = log.lines();
        fingerprint = lines.find_map(|line| line.split("certificate SHA-256 ").nth(1).map(str::to_owned));
        Ok(fingerprint.as_ref().is_some_and(|found| found.len() == 64))
    })?;
    let fingerprint = fingerprint.context("it was there a moment ago")?;

    let refused = Command::new(binary())
        .args(["link", &format!("quic://127.0.0.1:{quic}"), "--fingerprint"])
        .args([
            &"00".repeat(32),
            "--listen",
            "127.0.0.1:0",
            "--broker-listen",
            "127.0.0.1:0",
        ])
        .output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && said.contains("is not believed"),
        "{said}"
    );

    let link = Link::start(&[
        &format!("quic://127.0.0.1:{quic}"),
        "--fingerprint",
        &fingerprint,
        "--listen",
        &local.namesrv_addr(),
        "--broker-listen",
        &local.broker_addr(),
    ])?;
    ensure!(link.lines[2].contains(&nowhere), "{:?}", link.lines);
    let cases = ["sync", "async", "batch", "ordered", "transactions", "rebalance"];
    java.run(&local.namesrv_addr(), "quic", &cases)?;
    go.run(&local.namesrv_addr(), "quic", &["ordered"])?;
    drop(link);
    kourou.stop()
}
