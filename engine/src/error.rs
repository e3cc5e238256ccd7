//! What can go wrong, one type for each operation. Each value carries what is needed to act on it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::record::RecordError;

/// Why a store did not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the store open.
    #[error("the store in {} is in use by process {pid}; stop it, or choose another folder", dir.display())]
    Locked {
        /// The store's folder.
        dir: PathBuf,
        /// Process id as the holder wrote it into the lock file, or "unknown".
        pid: String,
    },
    /// What should be the store's folder is something else.
    #[error("{} is not a folder; a store needs one of its own", path.display())]
    NotAFolder {
        /// The path, as it was given.
        path: PathBuf,
    },
    /// The folder holds something, but not a store.
    #[error(
        "{} is not a kourou store: it holds {found:?} but no identity file; choose an empty or new folder",
        dir.display()
    )]
    NotAStore {
        /// The folder.
        dir: PathBuf,
        /// A name that was found in it.
        found: String,
    },
    /// The store was being filled from another one, and that was not finished.
    #[error(
        "the store in {} is half of an import that did not end; import again into it, which begins anew, or remove the folder",
        dir.display()
    )]
    HalfImported {
        /// The store's folder.
        dir: PathBuf,
    },
    /// What is to be filled from another store is one already.
    #[error("{} holds a store already; an import makes a new one: choose an empty or new folder", dir.display())]
    NotNew {
        /// The folder.
        dir: PathBuf,
    },
    /// The store was written by a version that this one does not know.
    #[error("{} has format version {found}, this program reads version {expected}", file.display())]
    Version {
        /// The file that says so.
        file: PathBuf,
        /// The version this program reads.
        expected: u32,
        /// The version in the file.
        found: u32,
    },
    /// An option does not make sense.
    #[error("option {option} is {value}: {why}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The store's content contradicts itself; nothing was changed.
    #[error("{} is damaged at byte {offset}: expected {expected}, found {found}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The view refused the state that the checkpoint holds for it.
    #[error("the checkpoint's state was refused: {reason}")]
    View {
        /// What the view said.
        reason: String,
    },
    /// The disk failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Wraps an I/O error with what was done to what.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// Why the log takes no more writes until it is reopened.
#[derive(Debug, Error)]
#[error(
    "a write to the commit log at position {position} failed: {source}; restart to recover what is on the disk"
)]
pub struct StopReason {
    /// Where the failed write began.
    pub position: u64,
    /// What the disk said.
    pub source: io::Error,
}

/// Why an append was not done. Unless it says otherwise, the record is not in the log and never will be.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Too many bytes wait to be written; try again.
    #[error("{pending_bytes} bytes wait to be written, {max_bytes} are allowed")]
    Busy {
        /// Bytes that wait.
        pending_bytes: u64,
        /// [`crate::Options::pending_size_bytes_max`].
        max_bytes: u64,
    },
    /// The append is longer than the log takes.
    #[error("an append of {size_bytes} bytes is over the limit of {max_bytes}")]
    TooLarge {
        /// Encoded size.
        size_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// No room on the disk. The log goes on as soon as there is room again.
    #[error("the disk that holds {} is full", dir.display())]
    Full {
        /// The store's folder.
        dir: PathBuf,
    },
    /// A write failed, this one or an earlier one. Whether this record survives is decided at the next open.
    #[error(transparent)]
    Stopped(Arc<StopReason>),
    /// The engine was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a record could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The position is not, or no longer, inside the readable log.
    #[error("position {position} is outside the readable log [{first}, {end})")]
    Outside {
        /// What was asked for.
        position: u64,
        /// First readable position.
        first: u64,
        /// End of the readable log.
        end: u64,
    },
    /// What is there is not the record that should be.
    #[error("{} is damaged at byte {offset}: {source}", file.display())]
    Corrupt {
        /// The segment file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// The disk failed.
    #[error("cannot read {} at byte {offset}: {source}", file.display())]
    Io {
        /// The segment file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why no segment was removed. Those that were removed before stay removed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ExpireError {
    /// A write failed, and the log takes nothing until it was opened again; so it gives nothing away either.
    #[error(transparent)]
    Stopped(Arc<StopReason>),
    /// The engine was closed.
    #[error("the store is closed")]
    Closed,
    /// The disk failed. It is tried again the next time.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

impl ExpireError {
    /// Wraps an I/O error with what was done to what.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            what,
            path,
            source: Arc::new(source),
        }
    }
}

/// Why nothing was scrubbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// The engine was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a close was not clean. Nothing acknowledged is lost: the next open recovers as after a kill.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The log had stopped before.
    #[error(transparent)]
    Stopped(Arc<StopReason>),
    /// The store is complete, but could not be marked so: it goes on refusing to open.
    #[error("cannot remove {}, which says that the import did not end: {source}", path.display())]
    Import {
        /// The file that says so.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The checkpoint could not be written.
    #[error("cannot write the checkpoint {}: {source}", path.display())]
    Checkpoint {
        /// The checkpoint file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
