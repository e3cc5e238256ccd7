//! The configuration that is written: what Apache's broker keeps as `config/*.json`, and its two small files of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use kourou_broker::assign::RequestMode;
use kourou_broker::topic::{TopicConfig, TopicFilterType};
use kourou_broker::{Broker, DELAY_LEVELS_MS, name};
use kourou_engine::clock::{Clock, SystemClock};
use serde_json::{Map, Value, json};

use crate::error::MigrationError;
use crate::report::Report;
use crate::survey::Kind;

const PAGE_SIZE_BYTES: usize = 4_096;
/// The timer wheel's slots are a second each.
const SLOT_MS: i64 = 1_000;

/// Writes all of it. `made` are topics beside the broker's.
pub(super) fn write(
    root: &Path,
    broker: &Arc<Broker>,
    made: &[TopicConfig],
    last_store_ms: i64,
    end: u64,
    report: &mut Report,
) -> Result<(), MigrationError> {
    let dir = root.join("config");
    fs::create_dir_all(&dir).map_err(MigrationError::io("create", &dir))?;
    let now_ms = SystemClock.now_ms();
    let version = json!({"counter": 1, "stateVersion": 0, "timestamp": now_ms});

    let built_in = broker.system_topics();
    let topics = broker.topics().0;
    let kept = topics
        .iter()
        .filter(|topic| !built_in.iter().any(|system| system.name == topic.name))
        .map(AsRef::as_ref)
        .chain(made);
    let mut table = Map::new();
    for topic in kept {
        table.insert(topic.name.to_string(), topic_json(topic));
    }
    report.topics = table.len() as u64;
    put(
        &dir,
        "topics.json",
        &json!({"dataVersion": version, "topicConfigTable": table}),
    )?;

    let mut groups = Map::new();
    for group in broker.groups().0 {
        if name::is_system_group(&group.name) {
            continue;
        }
        groups.insert(
            group.name.to_string(),
            json!({
                "attributes": group.attributes,
                "brokerId": group.broker_id,
                "consumeBroadcastEnable": group.consume_broadcast_enable,
                "consumeEnable": group.consume_enable,
                "consumeFromMinEnable": group.consume_from_min_enable,
                "consumeMessageOrderly": group.consume_message_orderly,
                "consumeTimeoutMinute": group.consume_timeout_minutes,
                "groupName": &*group.name,
                "groupRetryPolicy": {"type": "CUSTOMIZED"},
                "groupSysFlag": group.sys_flag,
                "notifyConsumerIdsChangedEnable": group.notify_consumer_ids_changed_enable,
                "retryMaxTimes": group.retry_times_max,
                "retryQueueNums": group.retry_queues,
                "whichBrokerWhenConsumeSlowly": group.which_broker_when_consume_slowly,
            }),
        );
    }
    report.groups = groups.len() as u64;
    let groups = json!({"dataVersion": version, "forbiddenTable": {}, "subscriptionGroupTable": groups});
    put(&dir, "subscriptionGroup.json", &groups)?;

    let mut offsets = Map::new();
    for topic in &topics {
        if Kind::of(&topic.name) != Kind::Message {
            continue;
        }
        for group in broker.groups_of_topic(&topic.name) {
            let mut queues = Map::new();
            for queue_id in 0..topic.read_queues.max(topic.write_queues) {
                if let Some(offset) = broker.committed_offset(&group, &topic.name, queue_id, false) {
                    queues.insert(queue_id.to_string(), offset.into());
                }
            }
            report.offsets += queues.len() as u64;
            if !queues.is_empty() {
                offsets.insert(format!("{}@{group}", topic.name), Value::Object(queues));
            }
        }
    }
    let offsets = json!({"dataVersion": version, "offsetTable": offsets});
    put(&dir, "consumerOffset.json", &offsets)?;

    // What waits for its delay is there from 0 on.
    let levels: Map<String, Value> = (1..=DELAY_LEVELS_MS.len())
        .map(|level| (level.to_string(), 0.into()))
        .collect();
    put(
        &dir,
        "delayOffset.json",
        &json!({"dataVersion": version, "offsetTable": levels}),
    )?;

    let mut modes: Map<String, Value> = Map::new();
    for (topic, group, mode) in broker.request_modes() {
        let groups = modes.entry(topic.to_string()).or_insert_with(|| json!({}));
        groups[&*group] = json!({
            "consumerGroup": &*group,
            "topic": &*topic,
            "mode": if mode.mode == RequestMode::Pop { "POP" } else { "PULL" },
            "popShareQueueNum": mode.pop_share_queues,
        });
    }
    put(
        &dir,
        "messageRequestMode.json",
        &json!({"messageRequestModeMap": modes}),
    )?;

    // Last read time, log position, queue offset, the master's, version: the wheel begins now, with none of its messages.
    let now_slot_ms = now_ms - now_ms % SLOT_MS;
    page(&dir.join("timercheck"), &[now_slot_ms, 0, 0, 0, 0, now_ms, 1])?;
    // Times of the last flushes of log, queues and index, position of the master, position that is confirmed.
    let end = i64::try_from(end).unwrap_or(i64::MAX);
    let times = [last_store_ms, last_store_ms, last_store_ms, 0, end];
    page(&root.join("checkpoint"), &times)
}

fn topic_json(topic: &TopicConfig) -> Value {
    json!({
        "attributes": topic.attributes,
        "order": topic.order,
        "perm": topic.perm,
        "readQueueNums": topic.read_queues,
        "topicFilterType": match topic.filter_type {
            TopicFilterType::SingleTag => "SINGLE_TAG",
            TopicFilterType::MultiTag => "MULTI_TAG",
        },
        "topicName": &*topic.name,
        "topicSysFlag": topic.sys_flag,
        "writeQueueNums": topic.write_queues,
    })
}

fn put(dir: &Path, name: &str, value: &Value) -> Result<(), MigrationError> {
    write_file(&dir.join(name), format!("{value:#}\n").as_bytes())
}

/// A page of numbers.
fn page(path: &Path, numbers: &[i64]) -> Result<(), MigrationError> {
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    bytes.resize(PAGE_SIZE_BYTES, 0);
    write_file(path, &bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), MigrationError> {
    File::create_new(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(MigrationError::io("write", path))
}
