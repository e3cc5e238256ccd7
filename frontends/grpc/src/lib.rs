//! The gRPC protocol of RocketMQ 5 clients: the v2 messaging service on a port of the broker's own, with no proxy in between.
//!
//! ```text
//!  connection (HTTP/2) --> services (by path) --> service (each call) --> kourou_broker
//!                                                   ^
//!  clients: by client id, their settings and Telemetry streams; each is a channel in the broker's registry
//! ```
//!
//! It translates: calls become calls of [`kourou_broker`], and what that says becomes answers. No rule about topics or groups is
//! decided here, but for what this protocol alone knows: which texts and lengths its messages may have.
//!
//! What is refused is told inside a successful answer, as a [`wire::v2::Status`]; a gRPC status means that a call is not served, is not
//! of the protocol, or takes too much.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod budget;
mod caller;
mod clients;
mod endpoint;
mod health;
mod limits;
mod listener;
mod message;
mod names;
mod port;
mod refusal;
mod renewal;
mod service;
mod services;
mod settle;
pub mod wire;

pub use endpoint::Endpoint;
pub use limits::Limits;
pub use listener::{Options, serve};
