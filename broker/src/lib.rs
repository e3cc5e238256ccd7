//! Topics, groups and delivery, without a wire.
//!
//! A [`Broker`] gives meaning to the engine's log: which topics exist, who consumes what and how far, what happens to a
//! message that was sent, asked for, or sent back. It speaks plain types; frontends translate their protocols to them. Time
//! comes from the engine's clock, completion through callbacks, and no thread or runtime is started here: whoever owns time
//! calls [`Broker::tick`], [`Broker::deliver_due`], [`Broker::redeliver_due`] and [`Broker::check_transactions`].
//!
//! ```
//! use std::sync::{Arc, mpsc};
//! use bytes::Bytes;
//! use kourou_broker::receive::{InlineSubscription, PullOutcome, PullRequest};
//! use kourou_broker::send::SendRequest;
//! use kourou_broker::{Broker, BrokerOptions};
//! use kourou_engine::{Options, clock::SystemClock, disk::sim::SimDisk};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = "127.0.0.1:10911".parse()?;
//! let disk = Arc::new(SimDisk::new()); // a real one: kourou_engine::disk::StdDisk
//! let broker = Broker::open(BrokerOptions::new(host), Options::new("/store"), disk, Arc::new(SystemClock))?;
//!
//! let request = SendRequest {
//!     producer_group: "producers".into(),
//!     topic: "orders".into(),
//!     default_topic: "TBW102".into(), // the topic is made after this one
//!     default_topic_queues: 4,
//!     queue_id: 0,
//!     sys_flag: 0,
//!     born_ms: 0,
//!     born_host: host,
//!     flag: 0,
//!     properties: Default::default(),
//!     reconsume_times: 0,
//!     unit_mode: false,
//!     reconsume_times_max: None,
//!     is_batch: false,
//!     body: Bytes::from_static(b"hello"),
//! };
//! let (sent, receipt) = mpsc::channel();
//! broker.send(request, move |answer| sent.send(answer).expect("somebody waits"));
//! assert_eq!(receipt.recv()??.queue_offset, 0); // durable
//!
//! let pulled = broker.pull(&PullRequest {
//!     group: "consumers".into(),
//!     topic: "orders".into(),
//!     queue_id: 0,
//!     offset: 0,
//!     messages_max: 32,
//!     commit_offset: None,
//!     subscription: Some(InlineSubscription::default()),
//!     sub_version: 0,
//! })?;
//! assert!(matches!(pulled, PullOutcome::Found(found) if found.records.len() == 1));
//! broker.close()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod again;
pub mod assign;
pub mod audit;
mod broker;
pub mod client;
pub mod code;
pub mod delivery;
pub mod filter;
pub mod flow;
pub mod group;
mod ids;
pub mod lite;
mod lock;
pub mod name;
pub mod offset;
mod options;
mod pending;
mod property;
pub mod query;
mod queue;
pub mod receive;
pub mod reply;
mod retention;
mod scrub;
pub mod send;
pub mod send_back;
mod state;
pub mod stats;
mod text;
mod timer;
pub mod topic;
mod trace;
pub mod transaction;

pub use broker::Broker;
pub use options::{BrokerOptions, Limits};
pub use pending::{OutMessage, PendingMessages};
pub use queue::{QueueKey, QueueName};
pub use retention::ExpiryCounts;
pub use text::Text;
pub use timer::{DELAY_LEVELS_MS, DelayError, RecallError, RecallRequest};
pub use trace::TraceCounts;
