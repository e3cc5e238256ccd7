//! Topics, groups and delivery, without a wire.
//!
//! A [`Broker`] gives meaning to the engine's log: which topics exist, who consumes what and how far, what happens to a
//! message that was sent, asked for, or sent back. It speaks plain types; frontends translate their protocols to them. Time
//! comes from the engine's clock, completion through callbacks, and no thread or runtime is started here: whoever owns time
//! calls [`Broker::tick`] and [`Broker::deliver_due`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod broker;
pub mod client;
pub mod code;
pub mod group;
mod ids;
mod lock;
pub mod name;
pub mod offset;
mod options;
mod property;
mod queue;
pub mod receive;
pub mod send;
pub mod send_back;
mod state;
pub mod stats;
mod text;
mod timer;
pub mod topic;

pub use broker::Broker;
pub use options::{BrokerOptions, Limits};
pub use queue::{QueueKey, QueueName};
pub use text::Text;
pub use timer::DELAY_LEVELS_MS;
