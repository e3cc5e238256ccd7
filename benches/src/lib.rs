//! What the benches share: a disk that is memory, requests as clients make them, a broker whose every step is taken in turn, and
//! one in a process of its own.
//!
//! The suites themselves are in `benches/`, the comparison with other brokers in `peers/` and `src/bin/peers/`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod appends;
pub mod counts;
pub mod in_turn;
pub mod limits;
pub mod lockstep;
pub mod memory_disk;
pub mod observed;
pub mod paths;
pub mod raw_disk;
pub mod requests;
pub mod served;
pub mod suite;
