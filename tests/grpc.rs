//! Unmodified gRPC clients of RocketMQ 5 against the real binary. What they send is looked at by the remoting client for Java, which
//! shares topics, groups and the log with them. `tests/README.md` says how to run a part of this or all of it often.

#![cfg(feature = "grpc")]

mod support;

use anyhow::Result;
use support::broker::Kourou;
use support::programs::{self, JavaLine, Program};
use support::{Ports, alone, fresh_folder, installed, number_from_env, say};

#[test]
fn java_producers() -> Result<()> {
    let _machine = alone();
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let cases = [
        "grpc-transactions",
        "grpc-delay",
        "grpc-send",
        "grpc-async",
        "grpc-fifo",
        "grpc-priority",
        "grpc-refused",
    ];
    rounds(|run| run.cases(&java, &cases))
}

#[test]
fn go_producers() -> Result<()> {
    let cases = ["send", "async", "fifo", "delay", "transactions", "refused"];
    producers("go", programs::go_grpc, &cases)
}

#[test]
fn python_producers() -> Result<()> {
    let cases = [
        "send",
        "async",
        "fifo",
        "delay",
        "priority",
        "transactions",
        "refused",
    ];
    producers("python", installed::python, &cases)
}

#[test]
fn node_producers() -> Result<()> {
    let cases = [
        "send",
        "async",
        "fifo",
        "delay",
        "priority",
        "transactions",
        "refused",
    ];
    producers("node", installed::node, &cases)
}

#[test]
fn rust_producers() -> Result<()> {
    let cases = ["send", "fifo", "delay", "transactions", "refused"];
    producers("rust", || installed::rust().map(Some), &cases)
}

/// The program sends, the remoting client for Java makes the topics and looks at what lies in them.
fn producers(language: &str, program: impl Fn() -> Result<Option<Program>>, cases: &[&str]) -> Result<()> {
    let _machine = alone();
    let (Some(java), Some(program)) = (programs::java(JavaLine::Five)?, program()?) else {
        return Ok(());
    };
    let sending: Vec<String> = cases.iter().map(|case| format!("grpc-{case}")).collect();
    let reading: Vec<String> = cases
        .iter()
        .filter(|case| **case != "refused")
        .map(|case| format!("grpc-read-{case}-{language}"))
        .collect();
    rounds(|run| {
        run.cases(&java, &[&format!("grpc-topics-{language}")])?;
        run.cases(&program, &sending.iter().map(String::as_str).collect::<Vec<_>>())?;
        run.cases(&java, &reading.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

/// One round against a broker that earlier rounds have used, too.
struct Round {
    ports: Ports,
    suffix: String,
    /// Every other round; the others are encrypted, as the clients for Java and Go are by default.
    plain: bool,
}

impl Round {
    fn cases(&self, program: &Program, cases: &[&str]) -> Result<()> {
        let grpc = self.ports.grpc_addr();
        let mut arguments = vec!["--grpc", grpc.as_str()];
        arguments.extend(cases);
        let program = match self.plain {
            true => program.with_variable("CASES_PLAIN", "1"),
            false => program.clone(),
        };
        program.run(&self.ports.namesrv_addr(), &self.suffix, &arguments)
    }
}

fn rounds(run: impl Fn(&Round) -> Result<()>) -> Result<()> {
    let folder = fresh_folder("grpc")?;
    let ports = Ports::free()?;
    let kourou = Kourou::start_ready(folder.path(), ports, &["--transaction-timeout-ms", "1000"])?;
    for round in 0..number_from_env("KOUROU_CLIENT_ROUNDS", 1)? {
        let result = run(&Round {
            ports,
            suffix: format!("r{round}"),
            plain: round % 2 == 1,
        });
        if result.is_err() {
            say(&format!(
                "the last of what kourou printed:\n{}",
                kourou.tail_of_log()
            ));
        }
        result?;
    }
    kourou.stop()
}
