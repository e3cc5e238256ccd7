//! Clients, by the id that they give themselves: their settings, their Telemetry streams, and their place in the broker's registry.
//!
//! ```text
//!  settings (Telemetry) --> Role: what it heartbeats as --> Broker::heartbeat      the registry of all protocols
//!  Heartbeat ------------------^                                   |
//!  newest Telemetry stream <-- check_transaction <-----------------'
//! ```
//!
//! A connection means nothing here: a client may have several, and calls of one client come over any of them.

mod asked;
mod channel;
mod ended;
mod role;
mod settings;
mod table;
mod telemetry;

pub(crate) use channel::{Commands, GrpcClient};
pub(crate) use role::{Role, language_and_expression};
pub(crate) use table::Clients;
pub(crate) use telemetry::telemetry;
