//! The typed headers of requests, by what they are about.
//!
//! A field that upstream calls required but that no honest answer depends on has a default here; a number that is
//! none is an error in every case.

mod consumer;
mod group;
mod namesrv;
mod offset;
mod pop;
mod pull;
mod query;
mod recall;
mod send;
mod topic;
mod transaction;

pub use consumer::*;
pub use group::*;
pub use namesrv::*;
pub use offset::*;
pub use pop::*;
pub use pull::*;
pub use query::*;
pub use recall::*;
pub use send::*;
pub use topic::*;
pub use transaction::*;
