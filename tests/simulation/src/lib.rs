//! From one seed: the real engine and the real broker under simulated time, disks, networks and clients.
//!
//! ```text
//!   clients (producers, consumers, administrators)         each with a stream of random numbers of its own
//!      |  ^   requests, answers; delayed, lost, cut off    network
//!      v  |
//!   the broker, the engine                                 the code that ships, on one thread
//!      |  ^   writes, syncs; torn, lost, refused, flipped  disk in memory
//!      v  |
//!   the ledger                                             what was promised, and whether it was kept
//! ```
//!
//! Nothing here reads a clock, starts a thread or throws a die: one event follows another, and the seed decides all of them. So a
//! seed that fails, fails again, on every machine.
//!
//! ```
//! use kourou_simulation::{Plan, run};
//!
//! let report = run(1, &Plan::default());
//! assert_eq!(report.violation, None);
//! assert_eq!(run(1, &Plan::default()).hash, report.hash);
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod audit;
mod batch;
pub mod clients;
pub mod clock;
pub mod coverage;
pub mod faults;
mod history;
pub mod ledger;
mod linear;
mod message;
mod node;
pub mod promise;
pub mod random;
mod scene;
mod schedule;
mod shrink;
mod simulation;
mod wire;

pub use shrink::shrink;
pub use simulation::{Plan, Report, run};
