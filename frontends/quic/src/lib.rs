//! The RocketMQ remoting protocol over QUIC, for clients on a bad network.
//!
//! ```text
//!   client --TCP--> link ==QUIC, one connection for each protocol==> port --> broker, name server
//!                     |                                               |
//!                     `- one stream for each TCP connection ----------'
//! ```
//!
//! A bidirectional stream is what a TCP connection would be: the same frames in the same order. A lost packet holds up the streams whose
//! bytes it had, and no other; a client whose address changes keeps its connection (RFC 9000, section 9). TLS 1.3 is part of QUIC.
//!
//! What a stream is for is said by the connection's ALPN name ([`Protocol`]). The server begins each connection with a stream of its own, on
//! which it says what it is ([`Hello`]).
//!
//! [`serve`] is the port; it hands streams on to whoever speaks remoting. [`Link`] is the other end: local TCP ports whose traffic goes by
//! QUIC, so that unmodified clients and tools gain it without knowing.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod hello;
mod limits;
mod link;
mod protocol;
mod server;
mod stream;

pub use hello::Hello;
pub use limits::Limits;
pub use link::{Link, LinkError, LinkOptions};
pub use protocol::Protocol;
pub use server::{Endpoint, HandOn, ListenError, serve};
pub use stream::Stream;
