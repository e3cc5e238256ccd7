//! Pulling: PULL_MESSAGE (11), LITE_PULL_MESSAGE (361).

use crate::message::sysflag::pull::SUBSCRIPTION;
use crate::remoting::fields::header_fields;

header_fields! {
    /// PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).
    pub struct PullMessageHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// Where from.
        topic: &'a str => "topic",
        /// Which queue.
        queue_id: i32 => "queueId",
        /// The first offset wanted.
        queue_offset: i64 => "queueOffset",
        /// Most messages wanted.
        max_msg_nums: i32 => "maxMsgNums",
        /// Flags of [`crate::message::sysflag::pull`].
        sys_flag: i32 => "sysFlag" or 0,
        /// The offset to commit for the group, if the flag says so.
        commit_offset: i64 => "commitOffset" or 0,
        /// How long the request may be held for want of messages, if the flag says that it may.
        suspend_timeout_ms: i64 => "suspendTimeoutMillis" or 0,
        /// The filter, if the flag says that it is here.
        subscription: Option<&'a str> => "subscription",
        /// The version of the subscription that the consumer registered.
        sub_version: i64 => "subVersion" or 0,
        /// `TAG` if absent.
        expression_type: Option<&'a str> => "expressionType",
        /// Most bytes wanted.
        max_msg_bytes: Option<i32> => "maxMsgBytes",
        /// Who asks: -1 or absent for a client, others for a proxy.
        request_source: Option<i32> => "requestSource",
        /// The client behind a proxy. The misspelling is the protocol's.
        proxy_forward_client_id: Option<&'a str> => "proxyFrowardClientId",
        /// The broker the consumer means, for static topics.
        broker_name: Option<&'a str> => "bname",
    }
}

impl<'a> PullMessageHeader<'a> {
    /// Everything that is in a queue from an offset on, 32 messages at a time. It brings its subscription with it, so that no heartbeat
    /// need come before, and is not held.
    pub fn of_all(consumer_group: &'a str, topic: &'a str, queue_id: i32, queue_offset: i64) -> Self {
        Self {
            consumer_group,
            topic,
            queue_id,
            queue_offset,
            max_msg_nums: 32,
            sys_flag: SUBSCRIPTION,
            commit_offset: 0,
            suspend_timeout_ms: 0,
            subscription: Some("*"),
            sub_version: 0,
            expression_type: Some("TAG"),
            max_msg_bytes: None,
            request_source: None,
            proxy_forward_client_id: None,
            broker_name: None,
        }
    }
}
