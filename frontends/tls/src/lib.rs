//! TLS and plain connections on one port, for every frontend that speaks TCP; and the TLS of the one that speaks QUIC.
//!
//! ```text
//!   accept --> Stream, undecided --first byte 0x16--> handshake --> encrypted
//!                                \-any other byte---> plain
//! ```
//!
//! What a connection speaks is found out when it is first read or written, so a connection that has not said anything yet costs
//! a socket and no buffers. No protocol that is served here begins with the byte of a TLS handshake: a remoting frame would have to
//! be longer than 369 MB, HTTP begins with a letter.
//!
//! All ports share one certificate. It comes from two files that may be replaced while the process runs, or is made at the start and
//! signed by itself: then it encrypts and proves nothing, which is what RocketMQ's clients expect of a server that nobody has set up.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod certificate;
mod error;
mod mode;
mod quic;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod trust;

pub use error::TlsError;
pub use mode::Mode;
pub use stream::Stream;
pub use tls::{Change, PortTls, Source, Tls};
pub use trust::Trust;
