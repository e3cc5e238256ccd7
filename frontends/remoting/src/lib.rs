//! The RocketMQ remoting protocol over TCP: a broker's port, a name server's port, and a client.
//!
//! The server side translates: frames become calls of [`kourou_broker`] or [`kourou_nameserver`], and what those say
//! becomes frames. No rule about topics, groups or routes is decided here.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod broker_port;
mod connection;
mod limits;
mod listener;
mod refusal;
mod text;

pub use broker_port::serve_broker;
pub use limits::Limits;
pub use listener::listen;
