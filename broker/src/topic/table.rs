//! The topics there are: built in, and made.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::{DataVersion, TopicConfig};
use crate::state::{Fields, Writer};

/// The topic table. What is built in comes from the options at every start and is neither logged nor checkpointed.
pub(crate) struct TopicTable {
    built_in: HashMap<Arc<str>, Arc<TopicConfig>>,
    made: RwLock<Made>,
}

#[derive(Default)]
struct Made {
    topics: HashMap<Arc<str>, Arc<TopicConfig>>,
    version: DataVersion,
}

impl fmt::Debug for TopicTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} topics and {} built in",
            self.made.read().topics.len(),
            self.built_in.len()
        )
    }
}

impl TopicTable {
    pub(crate) fn new(built_in: Vec<TopicConfig>) -> Self {
        let built_in = built_in
            .into_iter()
            .map(|config| (config.name.clone(), Arc::new(config)))
            .collect();
        Self {
            built_in,
            made: RwLock::default(),
        }
    }

    pub(crate) fn get(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        // What is built in wins: a broker may be renamed to what was an ordinary topic.
        self.built_in
            .get(topic)
            .cloned()
            .or_else(|| self.made.read().topics.get(topic).cloned())
    }

    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.built_in.contains_key(topic) || self.made.read().topics.contains_key(topic)
    }

    pub(crate) fn is_built_in(&self, topic: &str) -> bool {
        self.built_in.contains_key(topic)
    }

    /// How many have been made.
    pub(crate) fn made_count(&self) -> usize {
        self.made.read().topics.len()
    }

    pub(crate) fn version(&self) -> DataVersion {
        self.made.read().version
    }

    pub(crate) fn built_in(&self) -> Vec<Arc<TopicConfig>> {
        let mut all: Vec<_> = self.built_in.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// All topics, by name, and the version that they are.
    pub(crate) fn all(&self) -> (Vec<Arc<TopicConfig>>, DataVersion) {
        let made = self.made.read();
        let mut all: Vec<_> = self.built_in.values().cloned().collect();
        all.extend(
            made.topics
                .values()
                .filter(|config| !self.built_in.contains_key(&config.name))
                .cloned(),
        );
        let version = made.version;
        drop(made);
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        (all, version)
    }

    pub(crate) fn put(&self, config: TopicConfig, only_if_absent: bool, now_ms: i64) {
        let mut made = self.made.write();
        if only_if_absent && made.topics.contains_key(&config.name) {
            return;
        }
        made.topics.insert(config.name.clone(), Arc::new(config));
        made.version.bump(now_ms);
    }

    pub(crate) fn remove(&self, topic: &str, now_ms: i64) {
        let mut made = self.made.write();
        if made.topics.remove(topic).is_some() {
            made.version.bump(now_ms);
        }
    }

    pub(crate) fn encode(&self) -> Writer {
        let made = self.made.read();
        let mut out = Writer::new();
        made.version.encode(&mut out);
        out.count(made.topics.len());
        for config in made.topics.values() {
            config.encode(&mut out);
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let version = DataVersion::decode(fields)?;
        let mut topics = HashMap::new();
        for _ in 0..fields.count()? {
            let config = TopicConfig::decode(fields)?;
            topics.insert(config.name.clone(), Arc::new(config));
        }
        *self.made.write() = Made { topics, version };
        Some(())
    }
}
