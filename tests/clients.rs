//! Unmodified clients against the real binary. `tests/README.md` says how to run a part of this or all of it often.

mod support;

use anyhow::Result;
use support::broker::Kourou;
use support::programs::{self, JavaLine, Program};
use support::survive::through_kills;
use support::{Ports, alone, fresh_folder, number_from_env, say};

/// What the binary header codec changes is how every request and answer is written; these cases cover most of them.
const CODEC_CASES: [&str; 13] = [
    "sync",
    "async",
    "oneway",
    "batch",
    "big-body",
    "properties",
    "rebalance",
    "ordered",
    "retry-dlq",
    "offsets",
    "pull",
    "errors",
    "transactions",
];

/// What encryption changes is every byte on the wire, and nothing that is in it: small and large frames, both ways, one after the
/// other and many at a time.
const TLS_CASES: [&str; 5] = ["sync", "async", "big-body", "ordered", "pull"];

#[test]
fn java_5_client() -> Result<()> {
    with_program(
        || programs::java(JavaLine::Five),
        |program, namesrv, suffix| program.run(namesrv, suffix, &["all"]),
    )
}

#[test]
fn java_4_9_client() -> Result<()> {
    with_program(
        || programs::java(JavaLine::FourNine),
        |program, namesrv, suffix| program.run(namesrv, suffix, &["all"]),
    )
}

#[test]
fn java_5_client_with_the_binary_header_codec() -> Result<()> {
    with_program(
        || programs::java(JavaLine::Five),
        |program, namesrv, suffix| {
            program
                .with_jvm_flag("java5-binary", "-Drocketmq.serialize.type=ROCKETMQ")
                .run(namesrv, suffix, &CODEC_CASES)
        },
    )
}

#[test]
fn java_5_client_over_tls() -> Result<()> {
    with_program(
        || programs::java(JavaLine::Five),
        |program, namesrv, suffix| {
            program
                .with_jvm_flag("java5-tls", "-Dtls.enable=true")
                .run(namesrv, suffix, &TLS_CASES)
        },
    )
}

#[test]
fn java_4_9_client_over_tls() -> Result<()> {
    with_program(
        || programs::java(JavaLine::FourNine),
        |program, namesrv, suffix| {
            program
                .with_jvm_flag("java4-tls", "-Dtls.enable=true")
                .run(namesrv, suffix, &TLS_CASES)
        },
    )
}

#[test]
fn java_4_9_client_with_the_binary_header_codec() -> Result<()> {
    with_program(
        || programs::java(JavaLine::FourNine),
        |program, namesrv, suffix| {
            program
                .with_jvm_flag("java4-binary", "-Drocketmq.serialize.type=ROCKETMQ")
                .run(namesrv, suffix, &CODEC_CASES)
        },
    )
}

#[test]
fn go_client() -> Result<()> {
    with_program(programs::go, |program, namesrv, suffix| {
        program.run(namesrv, suffix, &["all"])
    })
}

#[test]
fn messages_cross_from_one_language_to_another() -> Result<()> {
    let _machine = alone();
    let (Some(go), Some(java5), Some(java4)) = (
        programs::go()?,
        programs::java(JavaLine::Five)?,
        programs::java(JavaLine::FourNine)?,
    ) else {
        return Ok(());
    };
    rounds("cross", |namesrv, suffix| {
        go.run(namesrv, suffix, &["cross-send"])?;
        java5.run(namesrv, suffix, &["cross-send", "cross-receive-go"])?;
        java4.run(namesrv, suffix, &["cross-receive-go", "cross-receive-java"])?;
        go.run(namesrv, suffix, &["cross-receive-java"])
    })
}

#[test]
fn offsets_outlive_a_restart_of_the_broker() -> Result<()> {
    let _machine = alone();
    if external_namesrv().is_some() {
        say("SKIPPED: a broker that somebody else runs is not ours to restart");
        return Ok(());
    }
    let all = [
        programs::go()?,
        programs::java(JavaLine::Five)?,
        programs::java(JavaLine::FourNine)?,
    ];
    for round in 0..number_of_rounds()? {
        for program in all.iter().flatten() {
            let folder = fresh_folder("restart")?;
            let ports = Ports::free()?;
            let suffix = suffix("restart", round);
            let kourou = Kourou::start_ready(folder.path(), ports, &[])?;
            program.run(&ports.namesrv_addr(), &suffix, &["offsets-before"])?;
            kourou.stop()?;
            let kourou = Kourou::start_ready(folder.path(), ports, &[])?;
            program.run(&ports.namesrv_addr(), &suffix, &["offsets-after"])?;
            kourou.stop()?;
        }
    }
    Ok(())
}

#[test]
fn mqadmin_reads_the_traces_of_a_broker_that_traces() -> Result<()> {
    let _machine = alone();
    if external_namesrv().is_some() {
        say("SKIPPED: a broker that somebody else runs need not trace");
        return Ok(());
    }
    let Some(java) = programs::java(JavaLine::Five)? else {
        return Ok(());
    };
    let folder = fresh_folder("traces")?;
    let ports = Ports::free()?;
    let kourou = Kourou::start_ready(folder.path(), ports, &["--broker-traces", "true"])?;
    java.run(&ports.namesrv_addr(), &suffix("traces", 0), &["broker-traces"])?;
    kourou.stop()
}

#[test]
fn a_push_consumer_misses_nothing_when_the_broker_is_killed() -> Result<()> {
    let _machine = alone();
    if external_namesrv().is_some() {
        say("SKIPPED: a broker that somebody else runs is not ours to kill");
        return Ok(());
    }
    let all = [
        programs::java(JavaLine::Five)?,
        programs::java(JavaLine::FourNine)?,
    ];
    for program in all.iter().flatten() {
        // A 4.9 client finds its way back within half a minute of each kill.
        through_kills(program, &suffix("survive", 0), |_| {
            ["--timeout-s", "240", "survive-kills"].map(str::to_owned).into()
        })?;
    }
    Ok(())
}

fn with_program(
    build: impl Fn() -> Result<Option<Program>>,
    run: impl Fn(&Program, &str, &str) -> Result<()>,
) -> Result<()> {
    let _machine = alone();
    match build()? {
        Some(program) => rounds("run", |namesrv, suffix| run(&program, namesrv, suffix)),
        None => Ok(()),
    }
}

/// Runs everything once, or as often as asked, against one broker: the later rounds meet what the earlier ones left.
fn rounds(name: &str, run: impl Fn(&str, &str) -> Result<()>) -> Result<()> {
    let broker = match external_namesrv() {
        Some(namesrv) => Broker::External(namesrv),
        None => Broker::start()?,
    };
    for round in 0..number_of_rounds()? {
        let result = run(broker.namesrv(), &suffix(name, round));
        if result.is_err()
            && let Broker::Ours { kourou, .. } = &broker
        {
            say(&format!(
                "the last of what kourou printed:\n{}",
                kourou.tail_of_log()
            ));
        }
        result?;
    }
    broker.stop()
}

enum Broker {
    External(String),
    Ours {
        kourou: Kourou,
        namesrv: String,
        _folder: tempfile::TempDir,
    },
}

impl Broker {
    fn start() -> Result<Self> {
        let folder = fresh_folder("clients")?;
        let ports = Ports::free()?;
        let kourou = Kourou::start_ready(folder.path(), ports, &[])?;
        Ok(Self::Ours {
            kourou,
            namesrv: ports.namesrv_addr(),
            _folder: folder,
        })
    }

    fn namesrv(&self) -> &str {
        match self {
            Self::External(namesrv) | Self::Ours { namesrv, .. } => namesrv,
        }
    }

    fn stop(self) -> Result<()> {
        match self {
            Self::External(_) => Ok(()),
            Self::Ours { kourou, .. } => kourou.stop(),
        }
    }
}

fn external_namesrv() -> Option<String> {
    std::env::var("KOUROU_TEST_NAMESRV").ok()
}

fn number_of_rounds() -> Result<u64> {
    number_from_env("KOUROU_CLIENT_ROUNDS", 1)
}

/// Differs from run to run, so that an external broker can be used again and again.
fn suffix(name: &str, round: u64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{name}{round}_{}", now.as_millis())
}
