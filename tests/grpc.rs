//! Unmodified gRPC clients of RocketMQ 5 against the real binary. What they send is looked at by the remoting client for Java, which
//! shares topics, groups and the log with them. `tests/README.md` says how to run a part of this or all of it often.

#![cfg(feature = "grpc")]

mod support;

use anyhow::Result;
use support::broker::Kourou;
use support::programs::{self, JavaLine, Program};
use support::survive::through_kills;
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
fn java_consumers() -> Result<()> {
    let _machine = alone();
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let cases = [
        "grpc-simple",
        "grpc-again",
        "grpc-dead",
        "grpc-push",
        "grpc-push-fifo",
        "grpc-simple-fifo",
        "grpc-filters",
        "grpc-timed",
        "grpc-from-remoting",
        "grpc-shared",
    ];
    rounds(|run| run.cases(&java, &cases))
}

#[test]
fn java_lite_topics() -> Result<()> {
    let _machine = alone();
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let cases = [
        "grpc-lite",
        "grpc-lite-dead",
        "grpc-lite-exclusive",
        "grpc-lite-refused",
    ];
    rounds(|run| run.cases(&java, &cases))
}

#[test]
fn go_consumers() -> Result<()> {
    let _machine = alone();
    let (Some(java), Some(go)) = (programs::java(JavaLine::Five)?, programs::go_grpc()?) else {
        return Ok(());
    };
    let cases = [
        "grpc-simple",
        "grpc-again",
        "grpc-push",
        "grpc-push-dead",
        "grpc-push-fifo",
        "grpc-filters",
        "grpc-timed",
    ];
    rounds(|run| {
        run.cases(&java, &["grpc-consuming-topics"])?;
        run.cases(&go, &cases)?;
        run.cases(&java, &["grpc-dead-go"])
    })
}

/// What a consumer has, and has acknowledged, outlives the broker.
#[test]
fn what_is_out_outlives_a_kill_of_the_broker() -> Result<()> {
    let _machine = alone();
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let folder = fresh_folder("grpc")?;
    let ports = Ports::free()?;
    let run = Round {
        ports,
        suffix: "killed".to_owned(),
        plain: true,
    };
    let kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    run.cases(&java, &["grpc-before-kill"])?;
    kourou.kill()?;
    let kourou = Kourou::start_ready(folder.path(), ports, &[])?;
    run.cases(&java, &["grpc-after-kill"])?;
    kourou.stop()
}

#[test]
fn a_push_consumer_misses_nothing_when_the_broker_is_killed() -> Result<()> {
    let _machine = alone();
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let java = java.with_variable("CASES_PLAIN", "1");
    through_kills(&java, "survive", |ports| {
        surviving(&ports.grpc_addr(), "grpc-survive-kills")
    })
}

#[test]
fn lite_topics_miss_nothing_when_the_broker_is_killed() -> Result<()> {
    let _machine = alone();
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let java = java.with_variable("CASES_PLAIN", "1");
    through_kills(&java, "survive", |ports| {
        surviving(&ports.grpc_addr(), "grpc-lite-survive-kills")
    })
}

fn surviving(grpc: &str, case: &str) -> Vec<String> {
    ["--grpc", grpc, "--timeout-s", "240", case]
        .map(str::to_owned)
        .into()
}

#[test]
fn go_producers() -> Result<()> {
    let cases = ["send", "async", "fifo", "delay", "transactions", "refused"];
    producers("go", programs::go_grpc, &cases)
}

/// What the clients for Python and Node.js can both do.
const PRODUCING: [&str; 7] = [
    "send",
    "async",
    "fifo",
    "delay",
    "priority",
    "transactions",
    "refused",
];
const CONSUMING: [&str; 4] = ["simple", "push", "dead-letter", "ordered"];
const DEAD_LETTERS: [&str; 2] = ["dead-letter", "ordered"];

#[test]
fn python_producers() -> Result<()> {
    producers("python", installed::python, &PRODUCING)
}

#[test]
fn node_producers() -> Result<()> {
    producers("node", installed::node, &PRODUCING)
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
        if language != "go" && run.suffix != FIRST_ROUND {
            // Later rounds differ in TLS, which the other clients leave off.
            return Ok(());
        }
        run.cases(&java, &[&format!("grpc-topics-{language}")])?;
        run.cases(&program, &sending.iter().map(String::as_str).collect::<Vec<_>>())?;
        run.cases(&java, &reading.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

#[test]
fn python_consumers() -> Result<()> {
    consumers("python", installed::python, &CONSUMING, &DEAD_LETTERS)
}

#[test]
fn node_consumers() -> Result<()> {
    consumers("node", installed::node, &CONSUMING, &DEAD_LETTERS)
}

/// This client has no push consumer.
#[test]
fn rust_consumers() -> Result<()> {
    consumers(
        "rust",
        || installed::rust().map(Some),
        &["simple", "ordered"],
        &[],
    )
}

const FIRST_ROUND: &str = "r0";

/// The program sends and receives, once; the remoting client for Java makes topics
/// and groups and looks at the dead letters of some cases.
fn consumers(
    language: &str,
    program: impl Fn() -> Result<Option<Program>>,
    cases: &[&str],
    dead_letters: &[&str],
) -> Result<()> {
    let _machine = alone();
    let (Some(java), Some(program)) = (programs::java(JavaLine::Five)?, program()?) else {
        return Ok(());
    };
    let receiving: Vec<String> = cases.iter().map(|case| format!("grpc-{case}")).collect();
    let reading: Vec<String> = dead_letters
        .iter()
        .map(|case| format!("grpc-read-{case}-{language}"))
        .collect();
    rounds(|run| {
        if run.suffix != FIRST_ROUND {
            // Most of it is waiting for times that the broker sets, and would be so again.
            return Ok(());
        }
        run.cases(&java, &[&format!("grpc-groups-{language}")])?;
        run.cases(
            &program,
            &receiving.iter().map(String::as_str).collect::<Vec<_>>(),
        )?;
        match reading.is_empty() {
            true => Ok(()),
            false => run.cases(&java, &reading.iter().map(String::as_str).collect::<Vec<_>>()),
        }
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
    for round in 0..number_from_env("KOUROU_GRPC_ROUNDS", 1)? {
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
