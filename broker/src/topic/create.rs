//! Making, changing and deleting topics.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{AttributeChanges, DataVersion, TopicConfig, TopicError, perm};
use crate::broker::Broker;
use crate::delivery::RetryKind;
use crate::lite::is_lite_queue;
use crate::name;
use crate::state::Change;

type Waiter = Box<dyn FnOnce(Result<(), TopicError>) + Send>;

/// Topics whose record is being written, and who waits for them.
#[derive(Default)]
pub(crate) struct Creations(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    waiters: HashMap<Arc<str>, Vec<Waiter>>,
    waiting: usize,
}

impl Broker {
    /// One topic.
    pub fn topic(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        self.state.topics.get(topic)
    }

    /// All topics, built in ones included, by name, and the version that they are.
    pub fn topics(&self) -> (Vec<Arc<TopicConfig>>, DataVersion) {
        self.state.topics.all()
    }

    /// The topics that are there without anybody making them.
    pub fn system_topics(&self) -> Vec<Arc<TopicConfig>> {
        self.state.topics.built_in()
    }

    /// The version of the topic table.
    pub fn topics_version(&self) -> DataVersion {
        self.state.topics.version()
    }

    /// Makes a topic or changes it, attributes as they are in `config`. When `done` hears of success it is durable.
    pub fn put_topic(
        self: &Arc<Self>,
        config: TopicConfig,
        done: impl FnOnce(Result<(), TopicError>) + Send + 'static,
    ) {
        if let Err(error) = self.check_topic_change(&config) {
            return done(Err(error));
        }
        if self
            .state
            .topics
            .get(&config.name)
            .is_some_and(|now| *now == config)
        {
            return done(Ok(()));
        }
        let broker = self.clone();
        let topic = config.name.clone();
        self.append_change(
            &Change::TopicPut {
                only_if_absent: false,
                config: &config,
            },
            move |stored| {
                if stored.is_ok() {
                    broker.topic_stored(&topic);
                }
                done(stored.map_err(TopicError::Store));
            },
        );
    }

    /// Makes a topic as another store had it, names and numbers that no client may ask for included. When `done` hears of success it is
    /// durable.
    pub fn import_topic(
        &self,
        config: &TopicConfig,
        done: impl FnOnce(Result<(), TopicError>) + Send + 'static,
    ) {
        self.append_change(
            &Change::TopicPut {
                only_if_absent: false,
                config,
            },
            |stored| done(stored.map_err(TopicError::Store)),
        );
    }

    /// Makes a topic or changes it, and its attributes by `changes`: what administrators' tools send.
    pub fn put_topic_with(
        self: &Arc<Self>,
        mut config: TopicConfig,
        changes: &AttributeChanges,
        done: impl FnOnce(Result<(), TopicError>) + Send + 'static,
    ) {
        let current = self.state.topics.get(&config.name);
        match changes.apply(current.as_ref().map(|now| &now.attributes)) {
            Ok(attributes) => {
                config.attributes = attributes;
                self.put_topic(config, done);
            }
            Err(error) => done(Err(error.into())),
        }
    }

    /// Deletes a topic and the offsets that groups have in it, with the retry topics that groups have of it by pop. Its messages stay in the log until they expire, but a new topic
    /// of that name does not show them: its queues begin where the old ones end.
    pub fn delete_topic(
        self: &Arc<Self>,
        topic: &str,
        done: impl FnOnce(Result<(), TopicError>) + Send + 'static,
    ) {
        if name::is_system_topic(topic) || self.state.topics.is_built_in(topic) {
            return done(Err(TopicError::System {
                topic: topic.to_owned(),
            }));
        }
        if !self.state.topics.contains(topic) {
            return done(Err(TopicError::NotFound {
                topic: topic.to_owned(),
            }));
        }
        let broker = self.clone();
        let retry_topics = self.pop_retry_topics(topic);
        let queues = self
            .engine
            .queues()
            .into_iter()
            // Lite topics end with their topic by themselves: there may be more of them than one record holds.
            .filter(|(name, queue_id, _)| **name == *topic && !is_lite_queue(*queue_id));
        let queue_ends: Vec<(u32, u64)> = queues.map(|(_, queue_id, range)| (queue_id, range.max)).collect();
        self.append_change(
            &Change::TopicDelete {
                topic,
                queue_ends: &queue_ends,
            },
            move |stored| {
                if stored.is_ok() {
                    broker.topics_changed();
                    for retry_topic in retry_topics {
                        let nobody: Waiter = Box::new(|_| {});
                        broker.delete_topic(&retry_topic, nobody);
                    }
                }
                done(stored.map_err(TopicError::Store));
            },
        );
    }

    /// The retry topics of `topic` that there are.
    fn pop_retry_topics(&self, topic: &str) -> Vec<String> {
        let groups = self.state.offsets.groups_of(topic);
        let named = groups
            .iter()
            .flat_map(|group| [RetryKind::V1, RetryKind::V2].map(|kind| kind.topic(group, topic)));
        named.filter(|name| self.state.topics.contains(name)).collect()
    }

    fn check_topic_change(&self, config: &TopicConfig) -> Result<(), TopicError> {
        name::check_topic(&config.name)?;
        if name::is_system_topic(&config.name) || self.state.topics.is_built_in(&config.name) {
            return Err(TopicError::System {
                topic: config.name.to_string(),
            });
        }
        let queues = config.read_queues.max(config.write_queues);
        let max_queues = self.options.limits.queues_per_topic_max;
        if queues > max_queues {
            return Err(TopicError::TooManyQueues {
                topic: config.name.to_string(),
                queues,
                max_queues,
            });
        }
        self.check_room_for_topic(&config.name)
    }

    fn check_room_for_topic(&self, topic: &str) -> Result<(), TopicError> {
        let max_topics = self.options.limits.topics_max;
        if self.state.topics.made_count() >= max_topics && !self.state.topics.contains(topic) {
            return Err(TopicError::TooManyTopics { max_topics });
        }
        Ok(())
    }

    /// What a topic becomes that is sent to before anybody made it; `None` if it may not be made so.
    pub(crate) fn topic_after_template(
        &self,
        topic: &str,
        template: &str,
        queues: i32,
        sys_flag: i32,
    ) -> Option<TopicConfig> {
        let template = self
            .state
            .topics
            .get(template)
            .filter(|template| perm::is_inherited(template.perm))?;
        // A topic without queues could never be used.
        let queues = u32::try_from(queues)
            .unwrap_or(0)
            .min(template.write_queues)
            .max(1);
        Some(TopicConfig {
            perm: template.perm & !perm::INHERIT,
            filter_type: template.filter_type,
            sys_flag,
            ..TopicConfig::new(topic, queues)
        })
    }

    /// Makes a topic unless it is there. However many ask for it at once, it is made once; each hears when it is durable and
    /// in the table.
    pub(crate) fn ensure_topic(
        self: &Arc<Self>,
        config: TopicConfig,
        done: impl FnOnce(Result<(), TopicError>) + Send + 'static,
    ) {
        if let Err(error) = self.check_room_for_topic(&config.name) {
            return done(Err(error));
        }
        {
            let mut pending = self.creations.0.lock();
            // Looked up under the lock: a creation enters the table before its waiters are taken.
            if self.state.topics.contains(&config.name) {
                drop(pending);
                return done(Ok(()));
            }
            if pending.waiting >= self.options.limits.creation_waiters_max {
                drop(pending);
                return done(Err(TopicError::Busy));
            }
            pending.waiting += 1;
            if let Some(waiters) = pending.waiters.get_mut(&config.name) {
                waiters.push(Box::new(done));
                return;
            }
            pending.waiters.insert(config.name.clone(), vec![Box::new(done)]);
        }
        let broker = self.clone();
        let topic = config.name.clone();
        self.append_change(
            &Change::TopicPut {
                only_if_absent: true,
                config: &config,
            },
            move |stored| {
                if stored.is_ok() {
                    broker.topic_stored(&topic);
                }
                let waiters = {
                    let mut pending = broker.creations.0.lock();
                    let waiters = pending.waiters.remove(&topic).unwrap_or_default();
                    pending.waiting = pending.waiting.saturating_sub(waiters.len());
                    waiters
                };
                for waiter in waiters {
                    waiter(stored.clone().map_err(TopicError::Store));
                }
            },
        );
    }
}
