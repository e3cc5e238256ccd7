//! The ports of a running broker and name server, seen from the other end of loopback connections.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admin;
mod codes;
mod filters;
mod groups;
mod hostile;
mod names;
mod peer;
mod pops;
mod progress;
mod pulls;
mod queries;
mod relays;
mod replies;
mod resets;
mod sends;
mod shapes;
mod support;
mod timers;
mod transactions;
