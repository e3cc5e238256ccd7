//! `kourou store`: what there is to type.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What the exit code says, for all of them.
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
