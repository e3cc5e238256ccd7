//! Lite topics: very many small topics inside a topic of the type `LITE`, made by the first message that is sent to them, and what
//! consumers subscribe to one by one.
//!
//! ```text
//!   send with a lite topic --> its queue of the parent topic --arrival--> ready for each client that subscribes to it
//!                                                                               |
//!   receive by client id <-- in order, from each that is ready in turn <--------+
//! ```
//!
//! A lite topic is one queue of its parent, with a number from `QUEUE_FIRST` on. Which queue a lite topic has is said by its
//! messages themselves, which carry its name: the table is a view of them, and no record comes before the first message. A lite topic
//! that was idle for as long as its parent says is ended by a record that names the end of its queue, and counts only if that is
//! still the end: a message that came before it keeps the lite topic alive, one that comes after it makes it anew. Its number is then
//! given to another one, whose messages begin where its own ended, so there are never more queues than lite topics lived at once.
//!
//! Groups are given a lite topic's messages by the state machine for consumption in order: see `delivery/order.rs`.
//!
//! What a client subscribes to is state, as all subscriptions are: clients say it again only every half minute, and go on at once after
//! a restart of the broker.

mod apply;
mod checkpoint;
mod clients;
mod error;
mod expire;
mod hold;
mod name;
mod place;
mod ready;
mod record;
mod settings;
mod sync;
mod table;
mod topics;

pub(crate) use apply::{Forgotten, Placed};
pub use error::SyncError;
pub use hold::{LiteHold, LiteHoldGuard};
pub use name::{LITE_TOPIC_SIZE_BYTES_MAX, LiteNameError, check as check_name};
pub(crate) use place::InFlight;
pub(crate) use record::{ENDED, SUBSCRIBED};
pub use settings::LiteSettings;
pub(crate) use settings::{EXPIRATION, check_group as check_group_attributes, is_parent};
pub use sync::{LiteOffset, SyncAction, SyncRequest};
pub(crate) use table::LiteTable;

/// The first number of a queue that is a lite topic; no topic has so many queues of its own.
pub(crate) const QUEUE_FIRST: u32 = 1 << 24;

/// Whether a queue is a lite topic.
pub fn is_lite_queue(queue_id: u32) -> bool {
    queue_id >= QUEUE_FIRST
}
