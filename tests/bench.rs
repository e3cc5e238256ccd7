//! `kourou bench` as its user meets it: runs against the binary's own broker, its sink, and nobody at all.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use anyhow::Result;
use serde_json::Value;
use support::broker::Kourou;
use support::{Ports, alone, fresh_folder};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kourou"))
        .arg("bench")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The one object that a good run prints.
fn report(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{arguments:?}: {said}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[cfg(feature = "grpc")]
#[test]
fn what_is_sent_by_grpc_is_found_by_the_broker() -> Result<()> {
    let _machine = alone();
    let folder = fresh_folder("bench-grpc")?;
    let ports = Ports::free()?;
    let _kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    let (broker, grpc) = (ports.broker_addr(), ports.grpc_addr());
    let sent = report(&["send", "--broker", &broker, "--grpc", &grpc, "--count", "2000"]);
    assert_eq!(sent["run"], "send by gRPC");
    assert_eq!(sent["messages"], 2000, "{sent}");
    assert_eq!(sent["audit"]["found"], 2000, "{sent}");
    assert_eq!(sent["audit"]["acknowledged"], 2000, "{sent}");
    assert!(sent["latency"]["p99_us"].as_f64().unwrap() > 0.0, "{sent}");

    // The broker's own port speaks no HTTP/2.
    let wrong = bench(&["send", "--broker", &broker, "--grpc", &broker, "--count", "1"]);
    assert!(!wrong.status.success());
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("gRPC") || said.contains("connection 0"), "{said}");
    Ok(())
}

#[test]
fn runs_against_a_broker_find_everything_they_sent() -> Result<()> {
    let _machine = alone();
    let folder = fresh_folder("bench")?;
    let ports = Ports::free()?;
    let _kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    let broker = ports.broker_addr();
    let pid = std::process::id().to_string();
    for codec in ["json", "binary"] {
        for batch in ["1", "16"] {
            let arguments = [
                "send", "--broker", &broker, "--count", "2000", "--codec", codec, "--batch", batch, "--pid",
                &pid,
            ];
            let report = report(&arguments);
            assert_eq!(report["messages"], 2000, "{report}");
            assert_eq!(report["audit"]["state"], "done", "{report}");
            assert_eq!(report["audit"]["acknowledged"], 2000, "{report}");
            assert_eq!(report["audit"]["found"], 2000, "{report}");
            assert_eq!(report["codec"], codec);
            assert!(report["per_second"].as_f64().unwrap() > 0.0, "{report}");
            assert!(report["latency"]["p99_us"].as_f64().unwrap() > 0.0, "{report}");
            assert!(
                report["own"]["cpu_us_per_message"].as_f64().unwrap() > 0.0,
                "{report}"
            );
            assert_eq!(report["processes"][0]["pid"].to_string(), pid);
        }
    }
    let latency = [
        "latency",
        "--broker",
        &broker,
        "--rate",
        "500",
        "--seconds",
        "1",
        "--warmup",
        "0.2",
        "--end-to-end",
        "--timeline",
    ];
    let latency = report(&latency);
    assert_eq!(latency["latency"]["count"], 500, "{latency}");
    assert_eq!(latency["end_to_end"]["count"], 500, "{latency}");
    assert_eq!(latency["audit"]["found"], 600, "{latency}");
    assert!(latency["timeline"].as_array().unwrap().len() >= 10, "{latency}");

    let named = [
        "send", "--broker", &broker, "--count", "1000", "--topic", "kept", "--queues", "3",
    ];
    report(&named);
    // A topic that is there keeps its queues, and what it held is not mistaken for what is sent.
    assert_eq!(report(&named[..7])["audit"]["found"], 1000);
    let pull = report(&["pull", "--broker", &broker, "--topic", "kept", "--passes", "2"]);
    assert_eq!(
        (&pull["messages"], &pull["audit"]["expected"]),
        (&4000.into(), &4000.into()),
        "{pull}"
    );
    let pull = report(&["pull", "--broker", &broker, "--fill", "3200"]);
    assert_eq!(
        (&pull["messages"], &pull["fill"]["found"]),
        (&3200.into(), &3200.into()),
        "{pull}"
    );
    Ok(())
}

#[test]
fn a_report_for_people_says_what_was_found() -> Result<()> {
    let _machine = alone();
    let folder = fresh_folder("bench")?;
    let ports = Ports::free()?;
    let _kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    let output = bench(&["send", "--broker", &ports.broker_addr(), "--count", "100"]);
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{text}");
    for part in [
        "64 in flight over 4 connections",
        "messages/s",
        "within 1 ms",
        "this one",
        "audit: all 100 acknowledged messages are there",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let output = bench(&[
        "send",
        "--broker",
        &ports.broker_addr(),
        "--count",
        "100",
        "--no-audit",
    ]);
    let text = String::from_utf8(output.stdout)?;
    assert!(
        output.status.success() && text.contains("audit: none, --no-audit"),
        "{text}"
    );
    Ok(())
}

#[test]
fn the_sink_is_a_broker_that_keeps_nothing() {
    let mut sink = Command::new(env!("CARGO_BIN_EXE_kourou"))
        .args(["bench", "sink", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sink.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("127."))
        .unwrap();
    let report = report(&["send", "--broker", address, "--count", "1000"]);
    sink.kill().unwrap();
    sink.wait().unwrap();
    assert_eq!(report["messages"], 1000, "{report}");
    assert_eq!(report["audit"]["state"], "skipped", "{report}");
}

#[test]
fn failures_have_a_line_and_a_code() {
    let nobody = "127.0.0.1:1";
    for (arguments, code, part) in [
        (
            &["send", "--broker", nobody][..],
            1,
            "cannot connect to 127.0.0.1:1",
        ),
        (&["pull", "--broker", nobody], 1, "--topic NAME, or --fill N"),
        (
            &["send", "--broker", nobody, "--body", "10"],
            1,
            "a body has at least 40 bytes",
        ),
        (
            &["send", "--connections", "0"],
            1,
            "connections: expected 1 to 1024, got 0",
        ),
        (&["latency", "--rate", "0"], 1, "rate: expected messages a second"),
        (&["send", "--seconds", "soon"], 2, "expected seconds"),
        (
            &["send", "--seconds", "1", "--count", "1"],
            2,
            "cannot be used with",
        ),
    ] {
        let output = bench(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
