//! The topics that are there without anybody making them.

use super::{TopicConfig, TopicTable, perm};
use crate::name::{
    AUTO_CREATE_TOPIC, BENCHMARK_TOPIC, CHECK_MAX_TIME_TOPIC, HALF_TOPIC, OFFSET_MOVED_TOPIC, OP_HALF_TOPIC,
    REPLY_TOPIC_SUFFIX, SCHEDULE_TOPIC, SELF_TEST_TOPIC, TIMER_TOPIC, TRACE_TOPIC,
};
use crate::options::BrokerOptions;
use crate::timer::DELAY_LEVELS_MS;

/// Queues of the topic for load generators.
const BENCHMARK_QUEUES: u32 = 1024;
/// Queues of the topic named after the cluster.
const CLUSTER_QUEUES: u32 = 16;

impl TopicTable {
    /// A table of what `options` build in.
    pub(crate) fn built_in_by(options: &BrokerOptions) -> Self {
        let all = perm::READ | perm::WRITE | perm::INHERIT;
        let with_perm = |name: &str, queues, perm| TopicConfig {
            perm,
            ..TopicConfig::new(name, queues)
        };
        let template_perm = if options.auto_create_topic {
            all
        } else {
            perm::READ | perm::WRITE
        };
        Self::new(vec![
            with_perm(AUTO_CREATE_TOPIC, options.default_topic_queues, template_perm),
            TopicConfig::new(SCHEDULE_TOPIC, DELAY_LEVELS_MS.len() as u32),
            TopicConfig::new(TIMER_TOPIC, 1),
            TopicConfig::new(BENCHMARK_TOPIC, BENCHMARK_QUEUES),
            TopicConfig::new(SELF_TEST_TOPIC, 1),
            TopicConfig::new(OFFSET_MOVED_TOPIC, 1),
            TopicConfig::new(HALF_TOPIC, 1),
            TopicConfig::new(OP_HALF_TOPIC, 1),
            TopicConfig::new(CHECK_MAX_TIME_TOPIC, 1),
            TopicConfig::new(TRACE_TOPIC, 1),
            TopicConfig::new(format!("{}{REPLY_TOPIC_SUFFIX}", options.cluster_name), 1),
            with_perm(&options.cluster_name, CLUSTER_QUEUES, all),
            with_perm(&options.broker_name, 1, all),
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[test]
    fn the_template_inherits_only_where_topics_may_be_made() {
        let mut options = BrokerOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 10911)));
        let table = TopicTable::built_in_by(&options);
        let template = table
            .get("TBW102")
            .map(|config| (config.write_queues, config.perm));
        assert_eq!(template, Some((8, 7)));
        assert_eq!(
            table.get("SCHEDULE_TOPIC_XXXX").map(|config| config.write_queues),
            Some(18)
        );
        assert!(table.contains("DefaultCluster_REPLY_TOPIC") && table.is_built_in("kourou"));

        options.auto_create_topic = false;
        let template = TopicTable::built_in_by(&options)
            .get("TBW102")
            .map(|config| config.perm);
        assert_eq!(template, Some(6));
    }
}
