//! `kourou topic`: create, list, show.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kourou_broker::name;
use kourou_proto::RequestCode;
use kourou_proto::body::{ClusterInfo, TopicList, TopicRouteData, TopicStatsTable};
use kourou_proto::remoting::request::{CreateTopicHeader, TopicHeader};
use serde::Serialize;

use super::cluster::{Cluster, PERM_READ, PERM_WRITE, masters, request};
use super::when;
use crate::cli::{Target, Topic};
use crate::output::{Table, counted, number, print_json, print_line, print_table};

pub(super) async fn run(topic: Topic) -> Result<()> {
    match topic {
        Topic::Create {
            topic,
            queues,
            message_type,
            lite_expiration,
            target,
        } => {
            let attributes = attributes(message_type.as_deref(), lite_expiration);
            create(&topic, queues, &attributes, &target).await
        }
        Topic::List { all, target } => list(all, &target).await,
        Topic::Show { topic, target } => show(&topic, &target).await,
    }
}

#[derive(Debug, Serialize)]
struct CreatedJson<'a> {
    topic: &'a str,
    queues: u32,
    brokers: Vec<&'a str>,
}

/// Changes of attributes, as brokers read them.
fn attributes(message_type: Option<&str>, lite_expiration: Option<u32>) -> String {
    let message_type = message_type.map(|name| format!("+message.type={}", name.to_ascii_uppercase()));
    let expiration = lite_expiration.map(|minutes| format!("+lite.topic.expiration={minutes}"));
    message_type
        .into_iter()
        .chain(expiration)
        .collect::<Vec<_>>()
        .join(",")
}

async fn create(topic: &str, queues: u32, attributes: &str, target: &Target) -> Result<()> {
    name::check_topic(topic).with_context(|| format!("topic '{topic}'"))?;
    let cluster = Cluster::of(target);
    let info = cluster.info().await?;
    let masters = masters(&info)?;
    let count = i32::try_from(queues).unwrap_or(i32::MAX);
    let header = CreateTopicHeader {
        topic,
        default_topic: name::AUTO_CREATE_TOPIC,
        read_queue_nums: count,
        write_queue_nums: count,
        perm: PERM_READ | PERM_WRITE,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: Some(0),
        order: false,
        attributes: Some(attributes).filter(|attributes| !attributes.is_empty()),
        force: None,
    };
    for (_, address) in &masters {
        cluster
            .call(address, request(RequestCode::UPDATE_AND_CREATE_TOPIC, &header))
            .await?;
    }
    wait_for_route(&cluster, topic, masters.len()).await?;
    let brokers: Vec<&str> = masters.iter().map(|(name, _)| *name).collect();
    if target.json {
        return print_json(&CreatedJson {
            topic,
            queues,
            brokers,
        });
    }
    print_line(&format!(
        "{topic}: {} on {}",
        counted(queues.into(), "queue"),
        brokers.join(", ")
    ))
}

/// How long brokers have to tell the name server of a new topic.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(5);
const ROUTE_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A topic is there when clients find it.
async fn wait_for_route(cluster: &Cluster, topic: &str, brokers: usize) -> Result<()> {
    let deadline = Instant::now() + ROUTE_TIMEOUT;
    while cluster
        .route(topic)
        .await?
        .is_none_or(|route| route.queue_datas.len() < brokers)
    {
        if Instant::now() > deadline {
            bail!("'{topic}' was created, but the name server does not know it yet");
        }
        tokio::time::sleep(ROUTE_POLL_INTERVAL).await;
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct TopicJson<'a> {
    topic: &'a str,
    queues: i64,
    messages: i64,
    last_ms: i64,
}

async fn list(all: bool, target: &Target) -> Result<()> {
    let cluster = Cluster::of(target);
    let info = cluster.info().await?;
    let answer = cluster.topic_list().await?;
    let mut topics = TopicList::decode(&answer.body)?.topic_list;
    topics.sort_unstable();
    topics.retain(|topic| all || is_users(topic, &info));

    let now_ms = when::now_ms();
    let mut table = Table::new(&["topic", ">queues", ">messages", "last"]);
    for topic in &topics {
        let Some(route) = cluster.route(topic).await? else {
            continue;
        };
        let stats = stats(&cluster, topic, &route).await?;
        let queues = route
            .queue_datas
            .iter()
            .map(|queue| i64::from(queue.write_queue_nums))
            .sum();
        let messages = stats.values().map(|queue| queue.max - queue.min).sum();
        let last_ms = stats.values().map(|queue| queue.last_ms).max().unwrap_or(0);
        if target.json {
            print_json(&TopicJson {
                topic,
                queues,
                messages,
                last_ms,
            })?;
        } else {
            table.row([
                topic.clone(),
                number(queues),
                number(messages),
                when::ago(last_ms, now_ms),
            ]);
        }
    }
    if target.json {
        return Ok(());
    }
    print_table(
        &table,
        "no topics yet; the first send creates one, or: kourou topic create NAME",
    )
}

/// Whether a topic is there because somebody wanted it.
fn is_users(topic: &str, info: &ClusterInfo) -> bool {
    let named_after =
        info.broker_addr_table.contains_key(topic) || info.cluster_addr_table.contains_key(topic);
    let replies = topic.strip_suffix(name::REPLY_TOPIC_SUFFIX);
    let is_reply = replies.is_some_and(|cluster| info.cluster_addr_table.contains_key(cluster));
    !(name::is_system_topic(topic) || name::is_retry_topic(topic) || named_after || is_reply)
}

/// What one queue holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    min: i64,
    max: i64,
    last_ms: i64,
}

/// All queues of a topic, by broker and number.
async fn stats(
    cluster: &Cluster,
    topic: &str,
    route: &TopicRouteData,
) -> Result<BTreeMap<(String, i32), Held>> {
    let mut queues = BTreeMap::new();
    for broker in &route.broker_datas {
        let Some(address) = broker.broker_addrs.get(&0) else {
            continue;
        };
        let answer = cluster
            .call(
                address,
                request(RequestCode::GET_TOPIC_STATS_INFO, &TopicHeader { topic }),
            )
            .await?;
        for (queue, offsets) in TopicStatsTable::decode(&answer.body)?.offset_table {
            let held = Held {
                min: offsets.min_offset,
                max: offsets.max_offset,
                last_ms: offsets.last_update_timestamp_ms,
            };
            queues.insert((queue.broker_name, queue.queue_id), held);
        }
    }
    Ok(queues)
}

#[derive(Debug, Serialize)]
struct QueueJson<'a> {
    topic: &'a str,
    broker: &'a str,
    queue: i32,
    min: i64,
    max: i64,
    messages: i64,
    last_ms: i64,
}

async fn show(topic: &str, target: &Target) -> Result<()> {
    let cluster = Cluster::of(target);
    let Some(route) = cluster.route(topic).await? else {
        bail!("there is no topic '{topic}'; kourou topic list shows those there are");
    };
    let queues = stats(&cluster, topic, &route).await?;
    if target.json {
        for ((broker, queue), held) in &queues {
            let Held { min, max, last_ms } = *held;
            print_json(&QueueJson {
                topic,
                broker,
                queue: *queue,
                min,
                max,
                messages: max - min,
                last_ms,
            })?;
        }
        return Ok(());
    }
    let now_ms = when::now_ms();
    let mut table = Table::new(&["broker", ">queue", ">first", ">next", ">messages", "last"]);
    for ((broker, queue), held) in &queues {
        table.row([
            broker.clone(),
            queue.to_string(),
            number(held.min),
            number(held.max),
            number(held.max - held.min),
            when::ago(held.last_ms, now_ms),
        ]);
    }
    print_table(&table, &format!("{topic} has no queues"))
}
