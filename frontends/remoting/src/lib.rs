//! The RocketMQ remoting protocol over TCP: a broker's port, a name server's port, and a client.
//!
//! The server side translates: frames become calls of [`kourou_broker`] or [`kourou_nameserver`], and what those say
//! becomes frames. No rule about topics, groups or routes is decided here.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod announce;
mod broker_port;
pub mod client;
mod connection;
mod events;
mod io_threads;
mod limits;
mod listener;
mod name_port;
mod refusal;
mod text;
mod timekeeper;

pub use announce::{NameServers, announce};
pub use broker_port::serve_broker;
pub use events::BrokerEvents;
pub use io_threads::IoThreads;
pub use limits::Limits;
pub use listener::{Accepted, Listener, Transport, listen};
pub use name_port::serve_name_server;
pub use timekeeper::keep_time;
