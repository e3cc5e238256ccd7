//! `kourou store` on a store that the binary made: clean after a stop and after a kill, refused while it is open, and a flipped bit is found.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::broker::{Kourou, binary};
use support::{Ports, alone, fresh_folder};

/// A broker on small segments that got messages of 100,000 bytes.
fn with_messages(folder: &Path, ports: Ports, count: u32) -> Result<Kourou> {
    let kourou = Kourou::start_ready(folder, ports, &["--segment-size", "8MiB"])?;
    let body = "b".repeat(100_000);
    let sent = Command::new(binary())
        .args([
            "produce", "orders", "--body", &body, "--key", "k1", "--tag", "red",
        ])
        .args(["--count", &count.to_string(), "-n", &ports.namesrv_addr()])
        .stdout(Stdio::null())
        .status()?;
    ensure!(sent.success(), "produce: {sent}");
    Ok(kourou)
}

fn store(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let (command, rest) = arguments.split_first().context("a command")?;
    Command::new(binary())
        .args(["store", command])
        .arg(folder.join("store"))
        .args(rest)
        .output()
        .context("kourou store")
}

fn lines(output: &Output) -> Result<Vec<Value>> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn flip(path: &Path, at: usize) -> Result<()> {
    let mut bytes = fs::read(path)?;
    *bytes.get_mut(at).context("a byte there")? ^= 4;
    Ok(fs::write(path, bytes)?)
}

#[test]
fn a_store_is_verified() -> Result<()> {
    let _alone = alone();
    let folder = fresh_folder("store")?;
    let ports = Ports::free()?;
    let kourou = with_messages(folder.path(), ports, 200)?;

    // While it is open it is refused, and nothing happens to it.
    let open = store(folder.path(), &["verify"])?;
    ensure!(open.status.code() == Some(2), "{}", text(&open));
    ensure!(text(&open).contains("is in use by process"), "{}", text(&open));
    kourou.stop()?;

    let clean = store(folder.path(), &["verify", "--json"])?;
    ensure!(clean.status.code() == Some(0), "{}", text(&clean));
    let verdict = lines(&clean)?.pop().context("a verdict")?;
    ensure!(verdict["verdict"] == "clean", "{verdict}");
    ensure!(verdict["looked_bytes"] == verdict["total_bytes"], "{verdict}");
    ensure!(verdict["segments"].as_u64() >= Some(3), "{verdict}");
    ensure!(verdict["messages"] == 200, "{verdict}");

    // After a kill as well.
    let again = Kourou::start_ready(folder.path(), ports, &[])?;
    again.kill()?;
    let killed = store(folder.path(), &["verify"])?;
    ensure!(killed.status.code() == Some(0), "{}", text(&killed));
    ensure!(text(&killed).contains("clean"), "{}", text(&killed));

    let inspected = store(folder.path(), &["inspect", "--json"])?;
    ensure!(inspected.status.code() == Some(0), "{}", text(&inspected));
    let inspected = lines(&inspected)?;
    ensure!(inspected[0]["messages"] == 200, "{:?}", inspected[0]);
    ensure!(
        inspected[0]["end_position"] == verdict["end_position"],
        "{:?}",
        inspected[0]
    );
    let of_orders = |line: &&Value| line["topic"] == "orders";
    let messages: Option<u64> = inspected
        .iter()
        .filter(of_orders)
        .map(|queue| queue["messages"].as_u64())
        .sum();
    ensure!(messages == Some(200), "{inspected:?}");
    ensure!(text(&store(folder.path(), &["inspect"])?).contains("orders"));

    // Piped, so it is JSON.
    let dumped = store(folder.path(), &["dump", "--body", "none"])?;
    ensure!(dumped.status.code() == Some(0), "{}", text(&dumped));
    let dumped = lines(&dumped)?;
    ensure!(dumped.iter().filter(|line| line["topic"] == "orders").count() == 200);
    ensure!(
        dumped.iter().any(|line| line["kind"] == "state: topic put"),
        "{:?}",
        dumped[0]
    );
    let one = [
        "dump", "--topic", "orders", "--queue", "0", "--from", "3", "--count", "1",
    ];
    let one = lines(&store(folder.path(), &one)?)?;
    ensure!(
        one.len() == 1 && one[0]["offset"] == 3 && one[0]["properties"]["KEYS"] == "k1",
        "{one:?}"
    );
    ensure!(one[0]["body"].as_str().is_some_and(|body| body.len() == 100_000));
    let behind = verdict["end_position"].to_string();
    let none = store(folder.path(), &["dump", "--from-position", &behind])?;
    ensure!(
        none.status.code() == Some(0) && none.stdout.is_empty(),
        "{}",
        text(&none)
    );

    let segment = folder.path().join("store/log/00000000000000000000");
    flip(&segment, 3_000_000)?;
    let found = store(folder.path(), &["verify", "--json"])?;
    ensure!(found.status.code() == Some(1), "{}", text(&found));
    let found = lines(&found)?;
    ensure!(found.len() == 2, "{found:?}");
    ensure!(
        found[0]["kind"] == "record" && found[0]["topic"] == "orders",
        "{found:?}"
    );
    ensure!(found[0]["file"] == segment.display().to_string(), "{found:?}");
    ensure!(found[1]["verdict"] == "findings", "{found:?}");

    // All others are there.
    let dumped = store(folder.path(), &["dump", "--body", "none", "--topic", "orders"])?;
    ensure!(dumped.status.code() == Some(1), "{}", text(&dumped));
    let dumped = lines(&dumped)?;
    ensure!(dumped.iter().filter(|line| line["damaged"] == true).count() == 1);
    ensure!(
        dumped.len() == 200,
        "199 records and what is damaged: {}",
        dumped.len()
    );
    Ok(())
}

#[test]
fn what_is_no_store_is_refused() -> Result<()> {
    let folder = fresh_folder("no-store")?;
    let missing = store(folder.path(), &["verify"])?;
    ensure!(missing.status.code() == Some(2), "{}", text(&missing));
    fs::create_dir(folder.path().join("store"))?;
    fs::write(folder.path().join("store/letter.txt"), "dear")?;
    let foreign = store(folder.path(), &["verify"])?;
    ensure!(foreign.status.code() == Some(2), "{}", text(&foreign));
    ensure!(
        text(&foreign).contains("not a kourou store"),
        "{}",
        text(&foreign)
    );
    Ok(())
}
