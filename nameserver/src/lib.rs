//! The route table of a RocketMQ name server, and which brokers are alive.
//!
//! Everything here is plain state behind one lock: no sockets, no threads, no clock. Whoever owns the sockets
//! calls in with the time (`now_ms`) and, for brokers that registered over the network, with an opaque
//! [`ConnectionId`], so that a lost connection takes its broker off the table at once.
//!
//! What is kept in memory only: everything, the key-value configuration included. Brokers register again within
//! thirty seconds, so routes come back by themselves; order configuration that was put by hand does not.
//!
//! Static topics (queue mappings between brokers) are not kept: a route never carries them, which tells clients
//! that the topic is an ordinary one.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod broker;
mod error;
mod kv;
mod limits;
mod liveness;
mod name_server;
mod options;
mod perm;
mod query;
mod register;
mod table;
mod topic;
mod unregister;

pub use broker::{BrokerData, BrokerMembers, ConnectionId, DataVersion, MASTER_ID};
pub use error::{DisabledError, KvError, RegisterError, SettingError};
pub use kv::ORDER_TOPIC_CONFIG;
pub use limits::Limits;
pub use name_server::NameServer;
pub use options::Options;
pub use query::{ClusterInfo, SystemTopics, TopicRoute, UnitTopics};
pub use register::{Registered, Registration};
pub use topic::{QueueData, TopicSpec};
