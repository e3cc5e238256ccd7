//! Log lines on stderr, so that stdout belongs to the answer.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{LogFormat, Settings};

/// Starts logging as the settings say.
pub(crate) fn init(settings: &Settings) -> anyhow::Result<()> {
    let filter: Targets = settings.log.parse().context("the log filter")?;
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = match settings.log_format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer
            .with_ansi(io::stderr().is_terminal() && crate::output::colour_wanted())
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .context("logging")
}
