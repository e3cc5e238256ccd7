//! `kourou store`: what there is to type.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::migrate::{Export, Import};

/// What the exit code says, for those that look.
const EXIT_CODES: &str = "Exit code: 0 nothing is wrong, 1 something was found, 2 it could not be looked at.\n\
    The store must be closed: a broker that has it open must be stopped first.";

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Check every byte of a store; changes nothing
    #[command(after_help = EXIT_CODES)]
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Say what a store holds: segments, topics and queues with their offsets, groups, checkpoints
    #[command(after_help = EXIT_CODES)]
    Inspect {
        #[command(flatten)]
        place: Place,
    },
    /// Print the records of a store; what is damaged is told and passed over
    #[command(after_help = EXIT_CODES)]
    Dump {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Make a store that goes on where an Apache broker's ended; the source is only read
    Import(Import),
    /// Make a store that Apache's broker opens and that goes on where this one ended
    Export(Export),
}

/// Which records, and how much of each.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Only messages of this topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
    /// Only messages of this queue
    #[arg(long, value_name = "N", requires = "topic")]
    pub(crate) queue: Option<u32>,
    /// Only from this offset of the queue on
    #[arg(long, value_name = "OFFSET", requires = "queue")]
    pub(crate) from: Option<u64>,
    /// Only from this position of the log on
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub(crate) from_position: u64,
    /// Stop after this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// How bodies are printed
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) body: Body,
}

/// How a body is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Body {
    /// As text, with what is none replaced
    Text,
    /// Two digits a byte
    Hex,
    /// Not at all
    None,
}

/// Which store, and how the answer is printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The store's folder
    #[arg(value_name = "DIR", default_value = "./kourou-data")]
    pub(crate) dir: PathBuf,

    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
