//! Unmodified gRPC clients of RocketMQ 5 against the real binary. What they send is looked at by the remoting client for Java, which
//! shares topics, groups and the log with them. `tests/README.md` says how to run a part of this or all of it often.

#![cfg(feature = "grpc")]

mod support;

use anyhow::Result;
use support::broker::Kourou;
use support::programs::{self, JavaLine, Program};
use support::{Ports, alone, fresh_folder, number_from_env, say};

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
        "grpc-refused",
    ];
    rounds(|run| run.cases(&java, &cases))
}

#[test]
fn go_producers() -> Result<()> {
    let _machine = alone();
    let (Some(java), Some(go)) = (programs::java(JavaLine::Five)?, programs::go_grpc()?) else {
        return Ok(());
    };
    rounds(|run| {
        run.cases(&java, &["grpc-topics"])?;
        run.cases(&go, &["grpc-send", "grpc-fifo", "grpc-transactions"])?;
        run.cases(&java, &["grpc-read-go"])
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
