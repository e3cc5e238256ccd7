//! The commit log: appending in groups, reading the tail, recovering.

mod arena;
mod group;
pub(crate) mod mark;
pub(crate) mod pending;
pub(crate) mod pressure;
pub(crate) mod recover;
pub(crate) mod scan;
pub(crate) mod tail;
pub(crate) mod writer;
