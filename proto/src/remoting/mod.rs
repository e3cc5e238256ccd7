//! The remoting protocol: frames, command headers, codes, and the typed headers of requests and responses.

pub mod code;
pub mod command;
pub mod fields;
pub mod frame;
pub mod header;
pub mod language;
pub mod request;
pub mod response;
pub mod version;
