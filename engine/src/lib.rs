//! An embeddable commit log: records in, durable in groups, readable by queue, time and position, without a copy.
//!
//! The engine stores records in the layout that RocketMQ's wire uses, so that what was stored is what is sent. It knows
//! records, queues and disks; it does not know what a record means. Whoever embeds it derives meaning through a [`View`], which
//! sees every durable record in order and is rebuilt from the log after a crash.
//!
//! ```no_run
//! use std::sync::Arc;
//! use kourou_engine::{Engine, NoView, Options, clock::SystemClock, disk::StdDisk, record::RecordDraft};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = Arc::new(StdDisk::new("./data", kourou_engine::disk::WriterKind::Auto));
//! let engine = Engine::open(Options::new("./data"), disk, Arc::new(SystemClock), Arc::new(NoView))?;
//!
//! let record = RecordDraft::new("orders", 0, b"hello").encode()?;
//! let stored = engine.append_blocking(record)?; // on the disk when this returns
//!
//! let mut entries = Vec::new();
//! engine.entries("orders", 0, stored.queue_offset, 1, &mut entries);
//! let bytes = engine.read(entries[0].position, entries[0].size_bytes)?;
//! # let _ = bytes;
//! engine.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! What is promised, and how it is kept, is in `docs/design/durability.md`; the files are drawn in `docs/design/format.md`.

#![deny(unsafe_code, missing_docs)]

pub mod clock;
pub mod disk;
mod engine;
mod error;
mod expire;
mod fields;
mod index;
pub mod limits;
mod log;
mod options;
#[doc(hidden)]
pub mod planted;
pub mod record;
mod scrub;
mod segment;
mod shared;
mod store;
pub mod verify;
mod view;
mod watermark;

pub use engine::{Engine, Follow, Health, KeyQuery, Records, Snapshot};
pub use error::{AppendError, CloseError, ExpireError, OpenError, ReadError, ScrubError, StopReason};
pub use expire::{Expired, Expiry, Going, Retention, Why};
pub use index::{Boundary, IndexEntry, LastKey, QueueRange};
pub use log::pending::{AppendDone, Appended};
pub use log::pressure::Pressure;
pub use log::recover::Recovery;
pub use options::{Flush, Options, Threads};
pub use scrub::{Damage, Scrubbed};
pub use view::{Arrival, LaterState, NoView, View};
