//! `kourou store`: commands on a store that no broker has open.

mod dump;
mod inspect;
mod progress;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::verify::ClosedStore;

use crate::cli::store::Store;
use crate::output;

/// Something is wrong with the store.
const EXIT_FINDINGS: u8 = 1;
/// It could not be looked at.
const EXIT_NOT_LOOKED: u8 = 2;

/// What a command found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Clean,
    Findings,
}

pub(super) fn run(store: &Store) -> ExitCode {
    let outcome = match store {
        Store::Verify { place } => verify::run(place),
        Store::Inspect { place } => inspect::run(place),
        Store::Dump { place, wanted } => dump::run(place, wanted),
    };
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(EXIT_FINDINGS),
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kourou: {}", output::one_line(&error));
            ExitCode::from(EXIT_NOT_LOOKED)
        }
    }
}

/// Takes a store to look at it.
fn closed(dir: &Path) -> Result<ClosedStore> {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    ClosedStore::open(disk, dir).with_context(|| format!("cannot look at {}", dir.display()))
}
