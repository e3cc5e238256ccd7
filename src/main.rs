//! `kourou`: the broker, the name server and the command line in one binary.

mod advertise;
mod cli;
mod commands;
mod config;
mod logging;
mod node;
mod output;
mod stop;
mod welcome;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use cli::{Cli, Task};
use config::{ConfigError, Settings, Sources};
use node::Role;

/// What `sysexits` and clap say of a wrong command line, and so of a wrong configuration.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => serve(cli.flags.sources(), Role::All),
        Some(Task::Namesrv(flags)) => serve(flags.sources(), Role::NameServer),
        Some(Task::Broker(flags)) => serve(flags.sources(), Role::Broker),
        Some(Task::Produce(produce)) => commands::produce(produce),
        Some(Task::Consume(consume)) => commands::consume(consume),
        Some(Task::Message(find)) => commands::find(find),
        Some(Task::Topic(topic)) => commands::topic(topic),
        Some(Task::Group(group)) => commands::group(group),
        Some(Task::Bench(bench)) => commands::bench(bench),
        Some(Task::Store(store)) => return commands::store(&store),
        #[cfg(feature = "quic")]
        Some(Task::Link(link)) => commands::link(link),
        Some(Task::Completions { shell }) => completions(shell),
        Some(Task::Man { command }) => man(command.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has read enough.
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kourou: {}", output::one_line(&error));
            let usage = error.is::<ConfigError>();
            ExitCode::from(if usage { EXIT_USAGE } else { 1 })
        }
    }
}

fn serve(sources: Sources, role: Role) -> anyhow::Result<()> {
    let resolved = config::resolve(sources)?;
    let settings: Settings = resolved.settings;
    logging::init(&settings)?;
    for warning in resolved.warnings {
        tracing::warn!("{warning}");
    }
    node::run(&settings, role)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    // It panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kourou", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

fn man(command: Option<&str>) -> anyhow::Result<()> {
    let mut kourou = Cli::command();
    kourou.build();
    let page = match command {
        None => kourou,
        Some(name) => kourou
            .find_subcommand(name)
            .cloned()
            .with_context(|| format!("there is no command '{name}'"))?,
    };
    clap_mangen::Man::new(page).render(&mut std::io::stdout())?;
    Ok(())
}
