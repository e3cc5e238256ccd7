//! Topics: making, changing and looking at them.

use crate::message::sysflag::perm;
use crate::remoting::fields::header_fields;

header_fields! {
    /// UPDATE_AND_CREATE_TOPIC (17).
    pub struct CreateTopicHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The topic whose settings it takes over.
        default_topic: &'a str => "defaultTopic" or "",
        /// Queues to read from.
        read_queue_nums: i32 => "readQueueNums",
        /// Queues to write to.
        write_queue_nums: i32 => "writeQueueNums",
        /// Permission bits.
        perm: i32 => "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: &'a str => "topicFilterType" or "SINGLE_TAG",
        /// Topic system flags.
        topic_sys_flag: Option<i32> => "topicSysFlag",
        /// Whether it is an ordered topic.
        order: bool => "order" or false,
        /// Changes of attributes, `+key=value` and `-key` joined by commas.
        attributes: Option<&'a str> => "attributes",
        /// Whether to go past checks.
        force: Option<bool> => "force",
    }
}

impl<'a> CreateTopicHeader<'a> {
    /// A topic with so many queues to write to and to read from, and nothing special.
    pub fn plain(topic: &'a str, queues: i32) -> Self {
        Self {
            topic,
            default_topic: "TBW102",
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: perm::READ | perm::WRITE,
            topic_filter_type: "SINGLE_TAG",
            topic_sys_flag: None,
            order: false,
            attributes: None,
            force: None,
        }
    }
}

header_fields! {
    /// One topic: DELETE_TOPIC_IN_BROKER (215), GET_TOPIC_STATS_INFO (202), QUERY_TOPIC_CONSUME_BY_WHO (300),
    /// REGISTER_TOPIC_IN_NAMESRV (217).
    pub struct TopicHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
    }
}

header_fields! {
    /// GET_TOPIC_CONFIG (351).
    pub struct GetTopicConfigHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// Whether the topic is meant as a static one.
        logical: Option<bool> => "lo",
    }
}

header_fields! {
    /// GET_ALL_TOPIC_CONFIG (21). All absent asks for everything at once.
    pub struct GetAllTopicConfigHeader<'a> {
        /// First topic of the page, counted from 0.
        topic_seq: Option<i32> => "topicSeq",
        /// The data version of the first page, as JSON.
        data_version: Option<&'a str> => "dataVersion",
        /// Most topics in the page.
        max_topic_num: Option<i32> => "maxTopicNum",
    }
}
