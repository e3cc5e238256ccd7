//! What the fuzz targets check, apart from not crashing. Each check takes any bytes.
//!
//! The crates under test replay the seeds through the same functions in their own tests, so each module here may use
//! nothing but the crate it checks and its public dependencies.

#![forbid(unsafe_code)]

pub mod broker;
pub mod engine;
pub mod grpc;
pub mod proto;
pub mod store;
