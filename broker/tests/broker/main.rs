//! What a broker does, seen from where a frontend stands: on a simulated disk, with a clock that moves when told to.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bell;
mod clients;
mod delays;
mod deliveries;
mod delivery_histories;
mod filters;
mod flow;
mod histories;
mod holds;
mod lite_histories;
mod lite_threads;
mod lites;
mod offsets;
mod pop_batches;
mod pop_resets;
mod pop_rules;
mod pulls;
mod recalls;
mod renewals;
mod resets;
mod resumes;
mod retention;
mod retried;
mod rig;
mod scrubs;
mod send_backs;
mod sends;
mod shapes;
mod timers;
mod topics;
mod traces;
mod transactions;
