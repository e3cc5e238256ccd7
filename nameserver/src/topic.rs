//! A topic as a broker registers it and as a route shows it.

use crate::perm;

/// One topic of a broker's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// Queues that consumers read.
    pub read_queues: u32,
    /// Queues that producers write.
    pub write_queues: u32,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// Unit bits: 1 unit topic, 2 has a unit subscription.
    pub sys_flag: i32,
}

/// The queues of one topic on one broker group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueData {
    /// The broker group's name.
    pub broker_name: String,
    /// Queues that consumers read.
    pub read_queues: u32,
    /// Queues that producers write.
    pub write_queues: u32,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// Unit bits: 1 unit topic, 2 has a unit subscription.
    pub sys_flag: i32,
}

impl QueueData {
    pub(crate) fn of(broker_name: &str, topic: &TopicSpec) -> Self {
        Self {
            broker_name: broker_name.to_owned(),
            read_queues: topic.read_queues,
            write_queues: topic.write_queues,
            perm: topic.perm,
            sys_flag: topic.sys_flag,
        }
    }

    pub(crate) fn wipe_write(&mut self) {
        self.perm &= !perm::WRITE;
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.perm & perm::WRITE != 0
    }
}
