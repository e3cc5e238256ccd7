//! Consumer group settings.

use std::collections::BTreeMap;

use super::object::json_object;
use super::raw::RawJson;
use super::topic::DataVersion;

json_object! {
    /// The settings of a consumer group: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200), and the answer to
    /// GET_SUBSCRIPTIONGROUP_CONFIG (352).
    pub struct SubscriptionGroupConfig {
        /// Further settings.
        attributes: BTreeMap<String, String> => "attributes",
        /// The broker to pull from.
        broker_id: i64 => "brokerId",
        /// Whether it may consume in broadcasting mode.
        consume_broadcast_enable: bool => "consumeBroadcastEnable" or true,
        /// Whether it may consume at all.
        consume_enable: bool => "consumeEnable" or true,
        /// Whether it may start at the beginning.
        consume_from_min_enable: bool => "consumeFromMinEnable" or true,
        /// Whether it consumes in order.
        consume_message_orderly: bool => "consumeMessageOrderly",
        /// How long an application may take over a message, in minutes.
        consume_timeout_minute: i32 => "consumeTimeoutMinute" or 15,
        /// The group.
        group_name: String => "groupName",
        /// How long to wait between attempts.
        group_retry_policy: RawJson => "groupRetryPolicy" or RawJson::trusted("{\"type\":\"CUSTOMIZED\"}"),
        /// Group system flags.
        group_sys_flag: i32 => "groupSysFlag",
        /// Whether members are told when others come and go.
        notify_consumer_ids_changed_enable: bool => "notifyConsumerIdsChangedEnable" or true,
        /// Attempts before a message is dead.
        retry_max_times: i32 => "retryMaxTimes" or 16,
        /// Queues of the retry topic.
        retry_queue_nums: i32 => "retryQueueNums" or 1,
        /// Subscriptions fixed by an administrator.
        subscription_data_set: Option<RawJson> => "subscriptionDataSet",
        /// The broker to pull from when far behind.
        which_broker_when_consume_slowly: i64 => "whichBrokerWhenConsumeSlowly" or 1,
    }
}

json_object! {
    /// All groups of a broker. Answers GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
    pub struct SubscriptionGroupTable {
        /// When the table last changed.
        data_version: DataVersion => "dataVersion",
        /// Topics that a group may not consume, by group.
        forbidden_table: BTreeMap<String, BTreeMap<String, i32>> => "forbiddenTable",
        /// By group.
        subscription_group_table: BTreeMap<String, SubscriptionGroupConfig> => "subscriptionGroupTable",
    }
}

json_object! {
    /// Answers QUERY_TOPIC_CONSUME_BY_WHO (300).
    #[derive(Eq)]
    pub struct GroupList {
        /// The groups.
        group_list: Vec<String> => "groupList",
    }
}
