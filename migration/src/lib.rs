//! From the store of an Apache RocketMQ broker to kourou's, and back.
//!
//! ```text
//!  an Apache broker's store                     kourou's store
//!  commitlog/  consumequeue/  config/*.json     log/  index/  checkpoint.?
//!     |                                            ^
//!     +-- source: files, records, each checked     |
//!     +-- survey: which of them still mean something
//!     +-- import ----------------------------------+
//! ```
//!
//! The records of both have the same layout, so a message keeps all that it was, its queue offset and its store time included; its position in
//! the log is another, and with it the ids that are made of that. `docs/migration.md` says what is carried over and what is not.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod again;
mod error;
mod export;
mod import;
mod report;
mod source;
mod survey;

use std::path::Path;

pub use error::MigrationError;
pub use export::{ExportOptions, FILE_SIZE_BYTES, export};
pub use import::{ImportOptions, import};
pub use report::{Progress, Report};

/// Whether a folder looks like the store of an Apache broker, and is none of kourou's.
pub fn is_apache_store(dir: &Path) -> bool {
    source::is_apache_store(dir)
}
