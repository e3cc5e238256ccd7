//! The configuration of an Apache broker: its `config/*.json`, as far as it means something here.
//!
//! A manager of the broker keeps the file that it wrote before beside it, as `.bak`, and reads that if the newer one is missing or broken. So
//! does this.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kourou_broker::assign::{RequestMode, RequestModeConfig};
use kourou_broker::group::GroupConfig;
use kourou_broker::topic::{TopicConfig, TopicFilterType};
use serde_json::{Map, Value};

use super::json;
use crate::error::MigrationError;

/// The offset of a group in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupOffset {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) queue_id: u32,
    pub(crate) offset: i64,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) topics: Vec<TopicConfig>,
    pub(crate) groups: Vec<GroupConfig>,
    pub(crate) offsets: Vec<GroupOffset>,
    /// By delay level: the offset in the schedule topic's queue of the next message to be delivered.
    pub(crate) delay_offsets: HashMap<u32, u64>,
    pub(crate) request_modes: Vec<(String, String, RequestModeConfig)>,
    /// How many things are set that there is no place for here, by what they are.
    pub(crate) left: BTreeMap<&'static str, u64>,
    pub(crate) timer: TimerCheck,
}

/// How far the timer wheel had come, from `config/timercheck`. Without it, nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TimerCheck {
    /// What was due before this has been delivered, in milliseconds since the epoch.
    pub(crate) delivered_before_ms: i64,
    /// The offset in the timer topic's queue of the first message that the wheel has not taken in.
    pub(crate) queue_offset: u64,
}

impl Config {
    pub(crate) fn read(root: &Path) -> Result<Self, MigrationError> {
        let dir = root.join("config");
        let mut config = Self {
            timer: timer_check(&dir)?,
            ..Self::default()
        };
        let topics = read(&dir, "topics.json")?.ok_or_else(|| MigrationError::NotApache {
            dir: root.to_owned(),
            why: "config/topics.json is not there, nor its .bak".into(),
        })?;
        for (name, topic) in table(&topics, "topicConfigTable") {
            config.topics.push(topic_of(name, topic));
        }
        if let Some(groups) = read(&dir, "subscriptionGroup.json")? {
            for (name, group) in table(&groups, "subscriptionGroupTable") {
                config.groups.push(group_of(name, group));
                let has_policy = group["groupRetryPolicy"]["exponentialRetryPolicy"].is_object()
                    || group["groupRetryPolicy"]["customizedRetryPolicy"].is_object();
                config.count_left("retry policies of groups", u64::from(has_policy));
            }
            let forbidden = table(&groups, "forbiddenTable").map(|(_, topics)| topics);
            let forbidden = forbidden
                .filter_map(Value::as_object)
                .map(Map::len)
                .sum::<usize>();
            config.count_left("topics forbidden to groups", forbidden as u64);
        }
        if let Some(offsets) = read(&dir, "consumerOffset.json")? {
            for (name, queues) in table(&offsets, "offsetTable") {
                let Some((topic, group)) = name.split_once('@') else {
                    continue;
                };
                for (queue_id, offset) in queues.as_object().into_iter().flatten() {
                    if let (Ok(queue_id), Some(offset)) = (queue_id.parse(), offset.as_i64()) {
                        config.offsets.push(GroupOffset {
                            group: group.to_owned(),
                            topic: topic.to_owned(),
                            queue_id,
                            offset,
                        });
                    }
                }
            }
        }
        if let Some(delays) = read(&dir, "delayOffset.json")? {
            for (level, offset) in table(&delays, "offsetTable") {
                if let (Ok(level), Some(offset)) = (level.parse(), offset.as_u64()) {
                    config.delay_offsets.insert(level, offset);
                }
            }
        }
        if let Some(modes) = read(&dir, "messageRequestMode.json")? {
            for (topic, groups) in table(&modes, "messageRequestModeMap") {
                for (group, mode) in groups.as_object().into_iter().flatten() {
                    let config_of = RequestModeConfig {
                        mode: match mode["mode"].as_str() {
                            Some("POP") => RequestMode::Pop,
                            _ => RequestMode::Pull,
                        },
                        pop_share_queues: number(mode, "popShareQueueNum", 0),
                    };
                    config
                        .request_modes
                        .push((topic.clone(), group.clone(), config_of));
                }
            }
        }
        config.count_other(&dir)?;
        Ok(config)
    }

    fn count_left(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.left.entry(what).or_default() += count;
        }
    }

    fn count_other(&mut self, dir: &Path) -> Result<(), MigrationError> {
        if let Some(filters) = read(dir, "consumerFilter.json")? {
            let count = table(&filters, "filterDataByTopic").count();
            // They come back with the consumers' next heartbeats.
            self.count_left("topics with remembered filter expressions", count as u64);
        }
        if let Some(order) = read(dir, "consumerOrderInfo.json")? {
            self.count_left("states of ordered pops", table(&order, "table").count() as u64);
        }
        if let Some(lmq) = read(dir, "lmqConsumerOffset.json")? {
            self.count_left(
                "offsets of light queues",
                table(&lmq, "lmqOffsetTable").count() as u64,
            );
        }
        if let Some(mapping) = read(dir, "topicQueueMapping.json")? {
            self.count_left(
                "topics that are spread over brokers",
                table(&mapping, "topicQueueMappingInfoMap").count() as u64,
            );
        }
        Ok(())
    }
}

/// A file, or what it was before; `None` if there is neither.
fn read(dir: &Path, name: &str) -> Result<Option<Value>, MigrationError> {
    let mut why = None;
    for path in [dir.join(name), dir.join(format!("{name}.bak"))] {
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => match json::parse(&text) {
                Ok(value) => return Ok(Some(value)),
                Err(error) => why = why.or_else(|| Some((path, error.to_string()))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(MigrationError::io("read", &path)(error)),
        }
    }
    match why {
        Some((file, why)) => Err(MigrationError::Config { file, why }),
        None => Ok(None),
    }
}

fn table<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value[name].as_object().into_iter().flatten()
}

fn number<T: TryFrom<i64>>(value: &Value, name: &str, default: T) -> T {
    value[name]
        .as_i64()
        .and_then(|number| T::try_from(number).ok())
        .unwrap_or(default)
}

fn truth(value: &Value, name: &str, default: bool) -> bool {
    value[name].as_bool().unwrap_or(default)
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let pairs = value["attributes"].as_object().into_iter().flatten();
    pairs
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn topic_of(name: &str, topic: &Value) -> TopicConfig {
    TopicConfig {
        read_queues: number(topic, "readQueueNums", 16),
        write_queues: number(topic, "writeQueueNums", 16),
        perm: number(topic, "perm", 6),
        filter_type: match topic["topicFilterType"].as_str() {
            Some("MULTI_TAG") => TopicFilterType::MultiTag,
            _ => TopicFilterType::SingleTag,
        },
        sys_flag: number(topic, "topicSysFlag", 0),
        order: truth(topic, "order", false),
        attributes: attributes(topic),
        ..TopicConfig::new(name, 16)
    }
}

fn group_of(name: &str, group: &Value) -> GroupConfig {
    let usual = GroupConfig::new(name);
    GroupConfig {
        consume_enable: truth(group, "consumeEnable", usual.consume_enable),
        consume_from_min_enable: truth(group, "consumeFromMinEnable", usual.consume_from_min_enable),
        consume_broadcast_enable: truth(group, "consumeBroadcastEnable", usual.consume_broadcast_enable),
        consume_message_orderly: truth(group, "consumeMessageOrderly", usual.consume_message_orderly),
        retry_queues: number(group, "retryQueueNums", usual.retry_queues),
        retry_times_max: number(group, "retryMaxTimes", usual.retry_times_max),
        broker_id: number(group, "brokerId", usual.broker_id),
        which_broker_when_consume_slowly: number(
            group,
            "whichBrokerWhenConsumeSlowly",
            usual.which_broker_when_consume_slowly,
        ),
        notify_consumer_ids_changed_enable: truth(
            group,
            "notifyConsumerIdsChangedEnable",
            usual.notify_consumer_ids_changed_enable,
        ),
        sys_flag: number(group, "groupSysFlag", usual.sys_flag),
        consume_timeout_minutes: number(group, "consumeTimeoutMinute", usual.consume_timeout_minutes),
        attributes: attributes(group),
        ..usual
    }
}

/// ```text
/// config/timercheck   last read time ms 8 | log position 8 | queue offset 8 | queue offset of the master 8 | version 24
/// ```
fn timer_check(dir: &Path) -> Result<TimerCheck, MigrationError> {
    let path: PathBuf = dir.join("timercheck");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TimerCheck::default()),
        Err(error) => return Err(MigrationError::io("read", &path)(error)),
    };
    let field = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk::<8>()?;
        Some(i64::from_be_bytes(*bytes))
    };
    Ok(TimerCheck {
        delivered_before_ms: field(0).unwrap_or(0),
        queue_offset: field(16)
            .and_then(|offset| u64::try_from(offset).ok())
            .unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_broken_file_is_read_from_the_one_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        fs::create_dir(&config).unwrap();
        let missing = Config::read(dir.path()).unwrap_err();
        assert!(matches!(missing, MigrationError::NotApache { .. }), "{missing}");
        fs::write(
            config.join("topics.json.bak"),
            r#"{"topicConfigTable":{"t":{"readQueueNums":3,"writeQueueNums":2,"perm":4,"order":true}}}"#,
        )
        .unwrap();
        fs::write(config.join("topics.json"), "").unwrap();
        fs::write(
            config.join("consumerOffset.json"),
            r#"{"offsetTable":{"t@g":{0:12,1:3},"%RETRY%g@g":{0:1}}}"#,
        )
        .unwrap();
        fs::write(config.join("delayOffset.json"), r#"{"offsetTable":{3:8}}"#).unwrap();
        let read = Config::read(dir.path()).unwrap();
        let topic = &read.topics[0];
        assert_eq!(
            (topic.read_queues, topic.write_queues, topic.perm, topic.order),
            (3, 2, 4, true)
        );
        let of = |topic: &str| {
            read.offsets
                .iter()
                .find(|one| one.topic == topic && one.queue_id == 0)
        };
        assert_eq!(of("t").map(|one| one.offset), Some(12));
        assert_eq!(of("%RETRY%g").map(|one| one.offset), Some(1));
        assert_eq!(read.delay_offsets, HashMap::from([(3, 8)]));

        fs::write(config.join("consumerOffset.json"), "{\"offsetTable\":").unwrap();
        let broken = Config::read(dir.path()).unwrap_err();
        assert!(broken.to_string().contains("consumerOffset.json"), "{broken}");
    }
}
