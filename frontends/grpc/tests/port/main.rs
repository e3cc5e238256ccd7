//! The port as clients meet it, on a broker whose disk is simulated.

#![expect(clippy::unwrap_used, reason = "tests")]

mod asked;
mod clients;
mod hostile;
mod lites;
mod offsets;
mod recalls;
mod receives;
mod renewals;
mod routes;
mod sends;
mod support;
mod transactions;
