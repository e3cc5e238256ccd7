//! Why a store was not carried over.

use std::io;
use std::path::{Path, PathBuf};

use kourou_engine::record::{EncodeError, RecordError};
use kourou_engine::{AppendError, CloseError, OpenError, ReadError};
use thiserror::Error;

/// Why a store was not imported, or not exported. The store that it comes from is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The folder is no store of an Apache broker.
    #[error("{} is no store of an Apache RocketMQ broker: {why}; name the folder that its storePathRootDir names", dir.display())]
    NotApache {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The folder is no store of kourou's.
    #[error("{} is no store of kourou's: it has no identity file", dir.display())]
    NotKourou {
        /// The folder.
        dir: PathBuf,
    },
    /// The files that are asked for cannot hold a record.
    #[error(
        "a record of {record_size_bytes} bytes does not fit a commit log file of {file_size_bytes}; choose longer ones"
    )]
    FileTooShort {
        /// What was asked for.
        file_size_bytes: u64,
        /// What is to be stored.
        record_size_bytes: u64,
    },
    /// The broker that the store belongs to runs.
    #[error("a broker has the store in {} open; stop it first: what it goes on storing would be in one of the two only", dir.display())]
    InUse {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The store has a form that is not read.
    #[error("{}: {what}; {todo}", path.display())]
    NotRead {
        /// What says so.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        todo: &'static str,
    },
    /// A record of the source is damaged, and there are whole ones behind it.
    #[error(
        "{} is damaged at byte {offset}: {why}; whole records follow from byte {next_offset} of {}, so this is no torn end. Restore the file, or \
         import what is before it with --until-damage",
        file.display(), next_file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        why: String,
        /// Where the next whole record is.
        next_file: PathBuf,
        /// Where in that file.
        next_offset: u64,
    },
    /// A segment of the commit log is missing, or has another name than its place.
    #[error("the commit log has no file for position {expected}: the next one is {}", next.display())]
    MissingFile {
        /// The position.
        expected: u64,
        /// The file that follows.
        next: PathBuf,
    },
    /// A queue of the source has lost messages in its middle.
    #[error(
        "queue {queue_id} of topic {topic} has no message at offset {expected}: {} goes on at byte {offset} with offset {found}; offsets behind a hole \
         could not be kept",
        file.display()
    )]
    Hole {
        /// The topic.
        topic: String,
        /// The queue's number in it.
        queue_id: u32,
        /// The offset that is missing.
        expected: u64,
        /// The next one.
        found: u64,
        /// The file that holds that one.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
    },
    /// A configuration file cannot be understood.
    #[error("{} is not what the broker writes: {why}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Something would be lost.
    #[error("some of it cannot be carried over ({}); nothing was done. With --accept-loss the rest is", what.join("; "))]
    WouldLose {
        /// What, and how much of it.
        what: Vec<String>,
    },
    /// A record of the source cannot be one here.
    #[error("the record at byte {offset} of {} cannot be stored: {source}", file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// Why.
        source: EncodeError,
    },
    /// A topic or group could not be made.
    #[error("{what} {name} could not be made: {why}")]
    Make {
        /// "topic" or "group".
        what: &'static str,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A message did not get the offset that it had.
    #[error(
        "queue {queue_id} of topic {topic}: offset {expected} became {found}; the import is not finished"
    )]
    Misplaced {
        /// The topic.
        topic: String,
        /// The queue's number in it.
        queue_id: u32,
        /// The offset that it had.
        expected: u64,
        /// The one that it got.
        found: u64,
    },
    /// The target is something already.
    #[error("{} is not empty; choose an empty or new folder", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// The store could not be opened, or made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A record could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A record of the store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was read is not a record.
    #[error(transparent)]
    Parse(#[from] RecordError),
    /// The store could not be closed.
    #[error(transparent)]
    Close(#[from] CloseError),
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

impl MigrationError {
    /// Wraps an I/O error with what was done to what.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
