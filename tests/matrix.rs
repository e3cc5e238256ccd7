//! Every client sends, every client receives: each message once, with body, tag, keys and properties as they were. Both sides make the
//! messages by one rule, so that nothing but the broker carries them across. `tests/README.md` says what the clients need.

#![cfg(feature = "grpc")]

mod support;

use std::process::Command;

use anyhow::{Result, ensure};
use support::broker::Kourou;
use support::programs::{self, JavaLine, Program, Running};
use support::{Ports, alone, fresh_folder, installed, say};

/// A program, and the clients in it that take part.
struct Party {
    program: Program,
    clients: Vec<Client>,
    knows_grpc: bool,
}

/// A client.
struct Client {
    /// What the names of its cases begin with.
    cases: &'static str,
    /// What it sends: a topic each.
    sends: &'static [&'static str],
    /// Whose messages it cannot read, whatever a broker does.
    cannot_read: &'static [&'static str],
}

impl Client {
    const fn new(cases: &'static str, sends: &'static [&'static str]) -> Self {
        Self {
            cases,
            sends,
            cannot_read: &[],
        }
    }
}

/// All of them, or `None` if a toolchain is missing and need not be there.
fn parties() -> Result<Option<Vec<Party>>> {
    let (Some(java), Some(go), Some(go_grpc), Some(python), Some(node)) = (
        programs::java(JavaLine::Five)?,
        programs::go()?,
        programs::go_grpc()?,
        installed::python()?,
        installed::node()?,
    ) else {
        return Ok(None);
    };
    let party = |program, clients| Party {
        program,
        clients,
        knows_grpc: true,
    };
    // The remoting clients compress what is longer than 4 KiB, most of these messages; the gRPC clients compress nothing.
    let remoting_java = Client::new("matrix-", &["java-zlib", "java-lz4", "java-zstd"]);
    let remoting_go = Client {
        // It knows no compression but zlib.
        cannot_read: &["java-lz4", "java-zstd"],
        ..Client::new("matrix-", &["go"])
    };
    Ok(Some(vec![
        party(
            java,
            vec![remoting_java, Client::new("matrix-grpc-", &["java-grpc"])],
        ),
        Party {
            knows_grpc: false,
            ..party(go, vec![remoting_go])
        },
        party(go_grpc, vec![Client::new("matrix-", &["go-grpc"])]),
        party(python, vec![Client::new("matrix-", &["python"])]),
        party(node, vec![Client::new("matrix-", &["node"])]),
        party(installed::rust()?, vec![Client::new("matrix-", &["rust"])]),
    ]))
}

#[test]
fn every_client_receives_what_every_client_sent() -> Result<()> {
    matrix(|kourou, _, _| Ok(kourou))
}

#[test]
fn every_client_receives_it_after_the_broker_was_killed() -> Result<()> {
    matrix(|kourou, folder, ports| {
        kourou.kill()?;
        Kourou::start_ready(folder, ports, &[])
    })
}

/// `between` is what happens to the broker when everything is acknowledged and nothing has been received.
fn matrix(between: impl FnOnce(Kourou, &std::path::Path, Ports) -> Result<Kourou>) -> Result<()> {
    let _machine = alone();
    let Some(parties) = parties()? else {
        return Ok(());
    };
    let folder = fresh_folder("matrix")?;
    let ports = Ports::free()?;
    let kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    let clients = || parties.iter().flat_map(|party| &party.clients);
    let senders: Vec<&str> = clients().flat_map(|client| client.sends).copied().collect();
    for sender in &senders {
        create_topic(ports, &format!("matrix_{sender}_m"))?;
    }
    all(&parties, ports, |client| vec![format!("{}send", client.cases)])?;
    let kourou = between(kourou, folder.path(), ports)?;
    let received = all(&parties, ports, |client| {
        let readable = senders
            .iter()
            .filter(|sender| !client.cannot_read.contains(sender));
        readable
            .map(|sender| format!("{}receive-{sender}", client.cases))
            .collect()
    });
    if received.is_err() {
        say(&format!(
            "the last of what kourou printed:\n{}",
            kourou.tail_of_log()
        ));
    }
    received?;
    kourou.stop()
}

/// Runs cases of every client, all programs at the same time.
fn all(parties: &[Party], ports: Ports, cases: impl Fn(&Client) -> Vec<String>) -> Result<()> {
    let grpc = ports.grpc_addr();
    let mut running = Vec::new();
    for party in parties {
        let cases: Vec<String> = party.clients.iter().flat_map(&cases).collect();
        let mut arguments: Vec<&str> = match party.knows_grpc {
            true => vec!["--grpc", &grpc],
            false => Vec::new(),
        };
        arguments.extend(cases.iter().map(String::as_str));
        running.push(
            party
                .program
                .start(&ports.namesrv_addr(), "m", &arguments, None)?,
        );
    }
    // Each says what it has to say before the first that failed ends it all.
    let outcomes: Vec<Result<()>> = running.into_iter().map(Running::finish).collect();
    outcomes.into_iter().collect()
}

fn create_topic(ports: Ports, topic: &str) -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_kourou"))
        .args(["topic", "create", topic, "--queues", "4", "--namesrv"])
        .arg(ports.namesrv_addr())
        .output()?;
    ensure!(
        output.status.success(),
        "creating {topic}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
