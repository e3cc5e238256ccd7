//! The binary as its user meets it: what a start prints, what a stop leaves, which line an error is, and the first messages
//! from its own command line.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The binary without the settings of whoever runs the tests.
fn kourou() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kourou"));
    let ours = |name: &str| name.starts_with("KOUROU_") || name == "NAMESRV_ADDR";
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    // These tests run beside each other; the usual port is there once.
    command.env("KOUROU_GRPC_PORT", "0").env("KOUROU_QUIC_PORT", "0");
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A running server; killed when dropped.
struct Server {
    child: Child,
    /// The block that the start printed.
    welcome: Vec<String>,
    namesrv_port: u16,
}

impl Server {
    /// Starts and waits for the last line of the block, which begins with `last`.
    fn start(arguments: &[&str], namesrv_port: u16, last: &str) -> Self {
        let mut child = kourou()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut welcome = Vec::new();
        while !welcome
            .last()
            .is_some_and(|line: &String| line.trim_start().starts_with(last))
        {
            let Some(line) = lines.next() else {
                panic!("ended with {:?} after {welcome:?}", child.wait());
            };
            welcome.push(line.unwrap());
        }
        Self {
            child,
            welcome,
            namesrv_port,
        }
    }

    /// Everything, on a store.
    fn all(data: &Path) -> Self {
        let (namesrv_port, broker_port) = (free_port(), free_port());
        let ports = [namesrv_port.to_string(), broker_port.to_string()];
        let data = data.to_str().unwrap();
        let arguments = [
            "--data",
            data,
            "--namesrv-port",
            &ports[0],
            "--broker-port",
            &ports[1],
        ];
        Self::start(&arguments, namesrv_port, "durability")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Stops it cleanly.
    fn stop(mut self) {
        self.signal("-TERM");
        let begin = Instant::now();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "SIGTERM ended with {status}");
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "a stop took {:?}",
            begin.elapsed()
        );
    }

    /// Runs a command against it.
    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let address = format!("127.0.0.1:{}", self.namesrv_port);
        let mut child = kourou()
            .args(arguments)
            .args(["-n", &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn lines(&self, arguments: &[&str], input: &str) -> Vec<String> {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn json(&self, arguments: &[&str], input: &str) -> Vec<Value> {
        let lines = self.lines(&[arguments, &["--json"]].concat(), input);
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs until it fails; the exit code and the one line on stderr.
fn failure(arguments: &[&str]) -> (i32, String) {
    let mut child = kourou()
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        assert!(
            Instant::now() < deadline,
            "{arguments:?} goes on running: {:?}",
            child.kill()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    assert!(text.starts_with("kourou: "), "{text}");
    (child.wait().unwrap().code().unwrap(), text)
}

/// A failing start on ports of its own.
fn failing_start(arguments: &[&str]) -> (i32, String) {
    let ports = [free_port().to_string(), free_port().to_string()];
    failure(
        &[
            &[
                "--log",
                "off",
                "--namesrv-port",
                &ports[0],
                "--broker-port",
                &ports[1],
            ],
            arguments,
        ]
        .concat(),
    )
}

#[test]
fn a_start_says_where_it_is_and_a_stop_is_clean() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("new/store");
    let server = Server::all(&data);
    let text = server.welcome.join("\n");
    assert!(text.starts_with("kourou "), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe: {text}");
    for part in [
        "name server  127.0.0.1:",
        "broker       127.0.0.1:",
        data.to_str().unwrap(),
        "durable: ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("  new"), "{text}");
    server.stop();

    let again = Server::all(&data);
    let text = again.welcome.join("\n");
    assert!(text.contains("opened in "), "{text}");
    again.stop();
}

#[test]
fn ctrl_c_stops_it_too_and_a_kill_is_told_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::all(dir.path());
    server.signal("-INT");
    assert!(server.child.wait().unwrap().success());

    let server = Server::all(dir.path());
    server.lines(&["produce", "kept", "--body", "x"], "");
    drop(server);

    let server = Server::all(dir.path());
    let text = server.welcome.join("\n");
    assert!(text.contains("not closed last time, recovered "), "{text}");
    assert_eq!(
        server.lines(&["consume", "kept", "--group", "g", "--count", "1"], ""),
        ["x"]
    );
    server.stop();
}

#[test]
fn a_store_has_one_process() {
    let dir = TempDir::new().unwrap();
    let server = Server::all(dir.path());
    let (code, text) = failing_start(&["--data", dir.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains(&format!("process {}", server.child.id())), "{text}");
    server.stop();
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--namesrv-port", "--broker-port"] {
        let dir = TempDir::new().unwrap();
        let other = free_port().to_string();
        let other_flag = if flag == "--broker-port" {
            "--namesrv-port"
        } else {
            "--broker-port"
        };
        let data = dir.path().to_str().unwrap();
        let (code, text) = failure(&["--log", "off", "--data", data, flag, &port, other_flag, &other]);
        assert_eq!(code, 1);
        assert!(
            text.contains(&format!("127.0.0.1:{port}")) && text.contains(flag),
            "{text}"
        );
    }
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let stranger = dir.path().join("thesis.tex");
    fs::write(&stranger, "years of work").unwrap();
    let (code, text) = failing_start(&["--data", dir.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        text.contains("is not a kourou store") && text.contains("thesis.tex"),
        "{text}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let below_a_file = stranger.join("store");
    let (code, text) = failing_start(&["--data", below_a_file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains("thesis.tex"), "{text}");
}

#[test]
fn a_wrong_configuration_is_code_2() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("kourou.toml");
    fs::write(&file, "brokerport = 1\n").unwrap();
    let (code, text) = failure(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(
        text.contains("kourou.toml:1: there is no key 'brokerport'; did you mean 'broker-port'?"),
        "{text}"
    );
    let (code, text) = failure(&["--flush", "never"]);
    assert_eq!(
        (code, text.as_str()),
        (
            2,
            "kourou: --flush: 'never' does not fit; flush takes durable or relaxed\n"
        )
    );
    let (code, text) = failure(&["broker", "--data", dir.path().join("s").to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(text.contains("-n HOST:PORT"), "{text}");
}

#[test]
fn lines_go_in_and_come_out() {
    let dir = TempDir::new().unwrap();
    let server = Server::all(dir.path());
    let sent = server.json(
        &[
            "produce",
            "hello",
            "--tag",
            "t",
            "--key",
            "k",
            "--property",
            "p=v",
        ],
        "one\ntwo\n\u{fc}\n",
    );
    assert_eq!(sent.len(), 3);
    assert!(
        sent.iter()
            .all(|sent| sent["topic"] == "hello" && sent["id"].as_str().is_some_and(|id| id.len() == 32))
    );

    let mut got = server.lines(&["consume", "hello", "--group", "plain", "--count", "3"], "");
    got.sort_unstable();
    assert_eq!(got, ["one", "two", "\u{fc}"]);

    server.lines(&["produce", "hello", "--property", "p=w", "--body", "fourth"], "");
    let other = [
        "consume", "hello", "--group", "sql", "--sql", "p <> 'v'", "--count", "1",
    ];
    assert_eq!(server.lines(&other, ""), ["fourth"]);

    let got = server.json(
        &[
            "consume", "hello", "--group", "json", "--tag", "t", "--count", "3",
        ],
        "",
    );
    for message in &got {
        assert_eq!(
            (&message["tag"], &message["keys"][0], &message["properties"]["p"]),
            (&"t".into(), &"k".into(), &"v".into())
        );
    }
    let ids = |messages: &[Value]| {
        let mut ids: Vec<String> = messages.iter().map(|message| message["id"].to_string()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&got), ids(&sent));
    server.stop();
}

/// A store with a bound keeps to it: the oldest messages go while it serves, and the rest is where it was.
#[test]
fn the_oldest_messages_go_and_the_rest_is_consumed() {
    let dir = TempDir::new().unwrap();
    let (namesrv_port, broker_port) = (free_port(), free_port());
    let data = dir.path().to_str().unwrap();
    let server = Server::start(
        &[
            "--data",
            data,
            "--namesrv-port",
            &namesrv_port.to_string(),
            "--broker-port",
            &broker_port.to_string(),
            "--segment-size",
            "8MiB",
            "--retention-size",
            "16MiB",
        ],
        namesrv_port,
        "durability",
    );
    server.lines(&["topic", "create", "big", "--queues", "1"], "");
    // Four segments and a bit, of messages that say which they are.
    let input: String = (0..36)
        .map(|number| format!("{number:02}{}\n", "x".repeat(1_000_000)))
        .collect();
    server.json(&["produce", "big"], &input);
    let first = || {
        let shown = server.json(&["topic", "show", "big"], "");
        shown[0]["min"].as_u64().unwrap()
    };
    let begin = Instant::now();
    while first() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing expired");
        std::thread::sleep(Duration::from_millis(200));
    }
    let first = first();
    let size_bytes: u64 = fs::read_dir(dir.path().join("log"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    // Two whole segments and the next one, which is made ahead.
    assert!(size_bytes <= 32 << 20, "{size_bytes}");
    let count = (36 - first).to_string();
    let got = server.lines(&["consume", "big", "--group", "late", "--count", &count], "");
    let numbers: Vec<u64> = got.iter().map(|line| line[..2].parse().unwrap()).collect();
    assert_eq!(numbers, (first..36).collect::<Vec<_>>());
    server.stop();
}

#[test]
fn groups_go_on_where_they_were_and_show_their_lag() {
    let dir = TempDir::new().unwrap();
    let server = Server::all(dir.path());
    assert_eq!(
        server.lines(&["topic", "create", "work", "--queues", "3"], ""),
        ["work: 3 queues on kourou"]
    );
    server.json(&["produce", "work", "--body", "x", "--count", "10"], "");
    let lag = |server: &Server| -> i64 {
        let queues = server.json(&["group", "show", "g"], "");
        queues
            .iter()
            .filter(|queue| queue["topic"] == "work")
            .map(|queue| queue["lag"].as_i64().unwrap())
            .sum()
    };
    server.lines(&["consume", "work", "--group", "g", "--count", "4"], "");
    assert_eq!(lag(&server), 6);
    server.lines(&["consume", "work", "--group", "g", "--count", "6"], "");
    assert_eq!(lag(&server), 0);

    // Back to the beginning, with nobody online; another group goes on from there.
    let set = server.json(
        &["group", "reset", "g", "--topic", "work", "--to", "earliest"],
        "",
    );
    assert_eq!(
        set.iter()
            .map(|queue| queue["offset"].as_i64().unwrap())
            .sum::<i64>(),
        0
    );
    assert_eq!(set.len(), 3);
    server.lines(&["consume", "work", "--group", "g", "--count", "10"], "");
    assert_eq!(lag(&server), 0);
    server.lines(&["group", "clone", "g", "copy", "--topic", "work"], "");
    let copied = server.json(&["group", "show", "copy"], "");
    assert_eq!(
        copied
            .iter()
            .map(|queue| queue["lag"].as_i64().unwrap())
            .sum::<i64>(),
        0
    );

    let queues = server.json(&["topic", "show", "work"], "");
    assert_eq!(queues.len(), 3);
    assert_eq!(
        queues
            .iter()
            .map(|queue| queue["messages"].as_i64().unwrap())
            .sum::<i64>(),
        10
    );
    let topics = server.json(&["topic", "list"], "");
    assert!(
        topics
            .iter()
            .any(|topic| topic["topic"] == "work" && topic["queues"] == 3 && topic["messages"] == 10)
    );
    assert!(
        server
            .json(&["group", "list"], "")
            .iter()
            .any(|group| group["group"] == "g" && group["lag"] == 0)
    );

    // What is said of a group is changed, the rest stays.
    assert_eq!(
        server.lines(&["group", "create", "g", "--retries", "3"], ""),
        ["g on kourou"]
    );
    let lites = [
        "group",
        "create",
        "lites",
        "--lite-topics-of",
        "talk",
        "--lite-exclusive",
        "true",
    ];
    assert_eq!(server.json(&lites, "")[0]["brokers"][0], "kourou");
    let talk = [
        "topic",
        "create",
        "talk",
        "--type",
        "lite",
        "--lite-expiration",
        "60",
    ];
    assert_eq!(server.lines(&talk, ""), ["talk: 8 queues on kourou"]);
    assert_eq!(lag(&server), 0);

    // A group of its own sees all again, or nothing old.
    assert_eq!(
        server
            .lines(&["consume", "work", "--group", "other", "--count", "10"], "")
            .len(),
        10
    );
    server.stop();
}

#[test]
fn members_of_a_group_share_the_queues() {
    let dir = TempDir::new().unwrap();
    let server = Server::all(dir.path());
    server.lines(&["topic", "create", "shared", "--queues", "4"], "");
    let address = format!("127.0.0.1:{}", server.namesrv_port);
    let consumer = || {
        let arguments = ["consume", "shared", "--group", "pair", "--json", "-n", &address];
        kourou().args(arguments).stdout(Stdio::piped()).spawn().unwrap()
    };
    let members = || -> u64 {
        let groups = server.json(&["group", "list"], "");
        groups
            .iter()
            .filter(|group| group["group"] == "pair")
            .map(|group| group["members"].as_u64().unwrap())
            .sum()
    };
    let wait_for = |count: u64| {
        let begin = Instant::now();
        while members() != count {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "{} members, not {count}",
                members()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut pair = [consumer(), consumer()];
    wait_for(2);
    // The first one hears of the second; nothing is sent before it has given up half of the queues.
    std::thread::sleep(Duration::from_millis(500));
    server.json(&["produce", "shared", "--body", "x", "--count", "40"], "");
    let begin = Instant::now();
    while server
        .json(&["group", "show", "pair"], "")
        .iter()
        .any(|queue| queue["lag"] != 0 || queue["end"] != 10)
    {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "not everything is consumed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut seen = Vec::new();
    for child in &mut pair {
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let own: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(own.len(), 20, "half of the messages");
        seen.extend(
            own.iter()
                .map(|message| format!("{}:{}", message["queue"], message["offset"])),
        );
    }
    wait_for(0);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 40);
    server.stop();
}

#[test]
fn commands_say_what_is_missing() {
    let dir = TempDir::new().unwrap();
    let server = Server::all(dir.path());
    for (arguments, says) in [
        (&["topic", "show", "nothing"][..], "there is no topic 'nothing'"),
        (&["group", "show", "nobody"], "there is no group 'nobody'"),
        (
            &["group", "create", "g", "--lite-topics-of", "a b"],
            "lite.bind.topic=a b",
        ),
        (
            &["consume", "nothing", "--group", "g"],
            "there is no topic 'nothing'",
        ),
        (&["produce", "a topic", "--body", "x"], "topic 'a topic': "),
    ] {
        let output = server.run(arguments, "");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
    server.stop();
    let nobody = format!("127.0.0.1:{}", free_port());
    let (code, text) = failure(&["topic", "list", "-n", &nobody]);
    assert_eq!(code, 1);
    assert!(
        text.contains(&nobody) && text.contains("is kourou running there?"),
        "{text}"
    );
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for (arguments, has) in [
        (&["completions", "bash"][..], "_kourou"),
        (&["man"], ".TH kourou 1"),
        (&["man", "produce"], "kourou\\-produce"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["--help"], "--broker-port <PORT>"),
    ] {
        let output = kourou().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(has), "{arguments:?}: {text}");
    }
}

#[test]
fn name_server_and_broker_apart() {
    let dir = TempDir::new().unwrap();
    let (namesrv_port, broker_port) = (free_port(), free_port());
    let name_server = Server::start(
        &["namesrv", "--namesrv-port", &namesrv_port.to_string()],
        namesrv_port,
        "name server",
    );
    let address = format!("127.0.0.1:{namesrv_port}");
    let broker = Server::start(
        &[
            "broker",
            "-n",
            &address,
            "--broker-port",
            &broker_port.to_string(),
            "--data",
            dir.path().to_str().unwrap(),
        ],
        namesrv_port,
        "durability",
    );
    assert!(
        broker
            .welcome
            .join("\n")
            .contains(&format!("registers at {address}"))
    );
    let begin = Instant::now();
    while !name_server
        .run(&["topic", "create", "apart"], "")
        .status
        .success()
    {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "the broker did not register"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.json(&["produce", "apart", "--body", "x"], "");
    assert_eq!(
        broker.lines(&["consume", "apart", "--group", "g", "--count", "1"], ""),
        ["x"]
    );

    broker.stop();
    let output = name_server.run(&["topic", "create", "gone"], "");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no broker is registered"),
        "{output:?}"
    );
    name_server.stop();
}
