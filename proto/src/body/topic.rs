//! Topic settings.

use std::collections::BTreeMap;

use super::object::json_object;
use super::raw::RawJson;

json_object! {
    /// When something last changed; equal if all three are.
    #[derive(Eq)]
    pub struct DataVersion {
        /// Counts changes.
        counter: i64 => "counter",
        /// Counts changes of the broker's role.
        state_version: i64 => "stateVersion",
        /// The last change, in milliseconds.
        timestamp_ms: i64 => "timestamp",
    }
}

json_object! {
    /// The settings of a topic. Answers GET_TOPIC_CONFIG (351).
    #[derive(Eq)]
    pub struct TopicConfig {
        /// Further settings.
        attributes: BTreeMap<String, String> => "attributes",
        /// Whether it is an ordered topic.
        order: bool => "order",
        /// Permission bits.
        perm: i32 => "perm" or 6,
        /// Queues to read from.
        read_queue_nums: i32 => "readQueueNums" or 16,
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: String => "topicFilterType" or "SINGLE_TAG".to_owned(),
        /// The topic.
        topic_name: String => "topicName",
        /// Topic system flags.
        topic_sys_flag: i32 => "topicSysFlag",
        /// Queues to write to.
        write_queue_nums: i32 => "writeQueueNums" or 16,
    }
}

json_object! {
    /// All topics of a broker. Answers GET_ALL_TOPIC_CONFIG (21), and is what a broker registers.
    pub struct TopicConfigTable {
        /// When the table last changed.
        data_version: DataVersion => "dataVersion",
        /// When the mappings last changed.
        mapping_data_version: DataVersion => "mappingDataVersion",
        /// By topic.
        topic_config_table: BTreeMap<String, TopicConfig> => "topicConfigTable",
        /// Mappings of static topics, in full.
        topic_queue_mapping_detail_map: RawJson => "topicQueueMappingDetailMap",
        /// Mappings of static topics, in brief.
        topic_queue_mapping_info_map: RawJson => "topicQueueMappingInfoMap",
    }
}

json_object! {
    /// Answers every question for topics by name: 206, 224, 304, 305, 311 to 313, 343.
    #[derive(Eq)]
    pub struct TopicList {
        /// A broker that can be asked further.
        broker_addr: Option<String> => "brokerAddr",
        /// The topics.
        topic_list: Vec<String> => "topicList",
    }
}
