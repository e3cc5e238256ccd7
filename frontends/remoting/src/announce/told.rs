//! What a name server has been told already.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::topic::{DataVersion, TopicConfig};

/// Topics to register, and the version of the whole table.
pub(super) struct Topics {
    pub(super) configs: Vec<Arc<TopicConfig>>,
    pub(super) version: DataVersion,
}

/// What a name server has been told last. With many topics a change of one must not cost as much as all of them.
#[derive(Default)]
pub(super) struct Told {
    /// By name.
    topics: Vec<Arc<TopicConfig>>,
}

impl Told {
    pub(super) fn all(&mut self, broker: &Broker) -> Topics {
        let (configs, version) = broker.topics();
        self.topics.clone_from(&configs);
        Topics { configs, version }
    }

    /// The topics that are new or different. A name server keeps what is not named, deleted topics included: whoever
    /// deletes a topic tells the name servers so.
    pub(super) fn changed(&mut self, broker: &Broker) -> Topics {
        let (now, version) = broker.topics();
        let configs = changed(&self.topics, &now);
        self.topics = now;
        Topics { configs, version }
    }
}

fn changed(before: &[Arc<TopicConfig>], now: &[Arc<TopicConfig>]) -> Vec<Arc<TopicConfig>> {
    let mut before = before.iter().peekable();
    let mut is_known = |config: &&Arc<TopicConfig>| {
        while before.next_if(|old| old.name < config.name).is_some() {}
        before
            .peek()
            .is_some_and(|old| Arc::ptr_eq(old, config) || ***old == ***config)
    };
    now.iter().filter(|config| !is_known(config)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(topics: &[(&str, u32)]) -> Vec<Arc<TopicConfig>> {
        topics
            .iter()
            .map(|&(name, queues)| Arc::new(TopicConfig::new(name, queues)))
            .collect()
    }

    #[test]
    fn only_what_is_new_or_different_is_told() {
        let before = table(&[("a", 1), ("b", 1), ("d", 1)]);
        let now = table(&[("a", 1), ("b", 2), ("c", 1), ("e", 1)]);
        let told = changed(&before, &now);
        let names: Vec<&str> = told.iter().map(|topic| &*topic.name).collect();
        assert_eq!(names, ["b", "c", "e"]);
        assert!(changed(&now, &now).is_empty());
        assert_eq!(changed(&[], &now).len(), 4);
    }
}
