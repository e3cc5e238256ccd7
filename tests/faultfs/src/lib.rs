//! A folder whose disk fails, for whole brokers: kourou's, and others that are compared with it.
//!
//! [`Mounted`] shows a backing folder at another place, through FUSE. What is written there stays in the layer's memory until
//! the file is synced; only then is it in the backing folder. So two things can be had that a real disk does once in years:
//!
//! - **A failed sync** ([`Mounted::fail_sync`]): one sync of a file fails with EIO, and what it should have kept counts as kept from then
//!   on, as Linux does after a failed write-back: it can still be read, later syncs succeed, and it never reaches the disk. Other
//!   descriptors of the file that are open by then are told of it once, too.
//! - **A power cut** ([`Mounted::power_cut`]): all that was not synced is gone.
//!
//! ```text
//! write, mapped pages  ->  kernel  -> FUSE_WRITE -> memory: dirty pages
//! fsync, fdatasync, msync, O_DSYNC -> FUSE_FSYNC -> dirty pages to the backing folder | EIO, pages are lost
//! ```
//!
//! What it leaves out: names (created, renamed, removed) and lengths that are set without a write are durable at once, as a
//! journal has them soon. The engine's simulated disk takes those away, too; this layer is there for what only whole programs show.
//!
//! [`witness`] sends to a broker on such a folder, notes each answer, and reads back what was acknowledged.

#![forbid(unsafe_code)]

mod contents;
mod faults;
mod layer;
mod mounted;
pub mod witness;

pub use faults::{Arrivals, FailedSync};
pub use mounted::{Mounted, is_available};
