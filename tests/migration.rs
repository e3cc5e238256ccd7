//! A store of Apache's own broker, carried over to kourou and back, each served by its broker in turn. The Java client fills the first, and
//! looks at each: groups go on where they were, and every message is what it was, where it was.
//!
//! Needs root, because Apache's broker listens on every interface there is: it gets a network namespace with none but the loopback device, in
//! which all of this runs. And `java` and `mvn`; said aloud and left out where something is missing.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use support::broker::{Kourou, binary};
use support::programs::{self, JavaLine, Program};
use support::{Ports, alone, fresh_folder, say};

/// Set inside the namespace.
const INSIDE: &str = "MIGRATION_TEST_INSIDE";
/// Nobody else is there.
const PORTS: Ports = Ports {
    namesrv: 9876,
    broker: 10911,
    grpc: 8081,
};

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/apache")
}

#[test]
fn a_store_goes_from_apaches_broker_to_kourou_and_back() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return round_trip();
    }
    let _machine = alone();
    // What is downloaded is so before there is no network.
    let Some(_java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    if !is_root()? {
        let required = std::env::var_os("KOUROU_REQUIRE_CLIENTS").is_some();
        ensure!(!required, "this needs root, for a network namespace");
        say("migration: left out, it needs root for a network namespace");
        return Ok(());
    }
    if !Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/peers/lib")
        .is_dir()
    {
        say("gathering Apache's broker with Maven (the first time it downloads it)");
        run(Command::new(peers()).arg("build"))?;
    }
    let status = Command::new("unshare")
        .args(["--net", "--", "bash", "-c"])
        .args(["ip link set lo up && exec \"$@\"", "migration"])
        .arg(std::env::current_exe()?)
        .args(["--exact", "a_store_goes_from_apaches_broker_to_kourou_and_back"])
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .status()
        .context("running unshare")?;
    ensure!(status.success(), "inside the namespace: {status}");
    Ok(())
}

fn is_root() -> Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(String::from_utf8_lossy(&id.stdout).trim() == "0")
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// Apache's broker in a folder, with its name server. Stopped when dropped.
struct Apache(PathBuf);

impl Apache {
    fn start(folder: &Path) -> Result<Self> {
        run(Command::new(peers())
            .args([
                "start",
                "--no-proxy",
                "--heap",
                "512m",
                "--flush",
                "sync",
                "--dir",
            ])
            .arg(folder))?;
        Ok(Self(folder.to_owned()))
    }

    fn stop(self) -> Result<()> {
        self.end()
    }

    fn end(&self) -> Result<()> {
        run(Command::new(peers()).args(["stop", "--dir"]).arg(&self.0))?;
        Ok(())
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // It may have been stopped.
        let _ = self.end();
    }
}

struct Client<'a> {
    java: &'a Program,
    signals: &'a Path,
}

impl Client<'_> {
    fn run(&self, case: &str) -> Result<()> {
        self.java
            .start(&PORTS.namesrv_addr(), "mig", &[case], Some(self.signals))?
            .finish()
    }
}

fn store(arguments: &[&str], paths: &[&Path]) -> Result<serde_json::Value> {
    let text = run(Command::new(binary())
        .arg("store")
        .args(arguments)
        .args(paths)
        .arg("--json"))?;
    Ok(serde_json::from_str(&text)?)
}

fn step(began: Instant, what: &str) {
    say(&format!(
        "migration: {:5.1} s  {what}",
        began.elapsed().as_secs_f64()
    ));
}

fn round_trip() -> Result<()> {
    let began = Instant::now();
    let java = programs::java(JavaLine::Five)?.context("it was there a moment ago")?;
    let folder = fresh_folder("migration")?;
    let signals = folder.path().join("signals");
    std::fs::create_dir(&signals)?;
    let client = Client {
        java: &java,
        signals: &signals,
    };
    let first = folder.path().join("apache");
    let apache = Apache::start(&first)?;
    step(began, "Apache's broker runs");
    client.run("migration-fill")?;

    // While it runs, nothing is carried over.
    let source = first.join("store");
    let target = folder.path().join("store");
    let refused = Command::new(binary())
        .args(["store", "import", "--data"])
        .args([&target, &source])
        .output()?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && why.contains("stop it first"),
        "{why}"
    );
    apache.stop()?;
    step(began, "Apache's broker has stopped");
    let started = Command::new(binary()).arg("--data").arg(&source).output()?;
    let why = String::from_utf8_lossy(&started.stderr).into_owned();
    ensure!(
        !started.status.success() && why.contains("kourou store import"),
        "{why}"
    );

    let imported = store(&["import"], &[Path::new("--data"), &target, &source])?;
    step(began, &format!("imported: {imported}"));
    ensure!(imported["timers"] == 2, "what waits for its time: {imported}");
    ensure!(imported["half_messages"] == 2, "half messages: {imported}");
    ensure!(imported["popped"] == 2, "what is out: {imported}");
    ensure!(imported["lost"] == serde_json::json!({}), "{imported}");
    let options = [
        "--broker-name",
        "broker-a",
        "--transaction-timeout-ms",
        "1000",
        "--transaction-check-interval-ms",
        "1000",
    ];
    let kourou = Kourou::start_ready(folder.path(), PORTS, &options)?;
    let went_on = client.run("migration-continue");
    if went_on.is_err() {
        say(&kourou.tail_of_log());
    }
    went_on?;
    kourou.stop()?;
    step(began, "kourou went on with it");

    let second = folder.path().join("again");
    let exported = store(&["export", "--data"], &[&target, &second.join("store")])?;
    step(began, &format!("exported: {exported}"));
    ensure!(exported["timers"] == 2, "what waits for its time: {exported}");
    ensure!(exported["half_messages"] == 1, "half messages: {exported}");
    ensure!(exported["lost"] == serde_json::json!({}), "{exported}");
    let apache = Apache::start(&second)?;
    client.run("migration-compare")?;
    apache.stop()?;
    step(began, "Apache's broker serves the same, and what kourou stored");
    Ok(())
}
