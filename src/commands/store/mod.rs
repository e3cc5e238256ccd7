//! `kourou store`: commands on a store that no broker has open.

mod carrying;
mod dump;
mod export;
mod import;
mod inspect;
mod progress;
mod report;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use kourou_engine::disk::{StdDisk, WriterKind};
use kourou_engine::verify::ClosedStore;
use kourou_migration::MigrationError;

use crate::cli::store::Store;
use crate::output;

/// Something is wrong with the store.
const EXIT_FINDINGS: u8 = 1;
/// It could not be looked at.
const EXIT_NOT_LOOKED: u8 = 2;

/// Of those that carry a store over: it failed, and why it did.
const EXIT_FAILED: u8 = 1;
const EXIT_DAMAGED: u8 = 3;
const EXIT_WOULD_LOSE: u8 = 4;

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
        Store::Import(import) => return carried(import::run(import)),
        Store::Export(export) => return carried(export::run(export)),
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

/// The exit code of carrying a store over.
fn carried(outcome: Result<()>) -> ExitCode {
    let error = match outcome {
        Err(error) if !output::is_closed_pipe(&error) => error,
        _ => return ExitCode::SUCCESS,
    };
    eprintln!("kourou: {}", output::one_line(&error));
    ExitCode::from(match error.downcast_ref() {
        Some(
            MigrationError::Damaged { .. } | MigrationError::MissingFile { .. } | MigrationError::Hole { .. },
        ) => EXIT_DAMAGED,
        Some(MigrationError::WouldLose { .. }) => EXIT_WOULD_LOSE,
        _ => EXIT_FAILED,
    })
}

/// Takes a store to look at it.
fn closed(dir: &Path) -> Result<ClosedStore> {
    let disk = Arc::new(StdDisk::new(dir, WriterKind::Auto));
    ClosedStore::open(disk, dir).with_context(|| format!("cannot look at {}", dir.display()))
}
