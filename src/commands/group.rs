//! `kourou group`: create, list, show.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use kourou_broker::name;
use kourou_proto::body::{ConsumeStats, ConsumerConnection, SubscriptionGroupTable};
use kourou_proto::remoting::request::{ConsumerGroupHeader, GetAllGroupConfigHeader, GetConsumeStatsHeader};
use kourou_proto::{RequestCode, ResponseCode};
use serde::Serialize;

use super::cluster::{Cluster, masters, request};
use super::{group_create, reset, when};
use crate::cli::{Group, Target};
use crate::output::{Paint, Table, counted, number, print_json, print_line, print_table};

pub(super) async fn run(group: Group) -> Result<()> {
    match group {
        Group::Create {
            group,
            changes,
            target,
        } => group_create::create(&group, &changes, &target).await,
        Group::List { target } => list(&target).await,
        Group::Show { group, target } => show(&group, &target).await,
        Group::Reset {
            group,
            topic,
            to,
            queue,
            target,
        } => reset::reset(&group, &topic, &to, queue, &target).await,
        Group::Clone {
            from,
            to,
            topic,
            target,
        } => reset::clone(&from, &to, topic.as_deref(), &target).await,
    }
}

/// What all brokers together know of a group.
#[derive(Debug, Default)]
struct Progress {
    members: BTreeMap<String, Member>,
    queues: BTreeMap<(String, String, i32), Queue>,
}

#[derive(Debug, Serialize)]
struct Member {
    address: String,
    language: &'static str,
}

#[derive(Debug)]
struct Queue {
    offset: i64,
    end: i64,
    last_ms: i64,
}

impl Queue {
    fn lag(&self) -> i64 {
        (self.end - self.offset).max(0)
    }
}

impl Progress {
    fn lag(&self) -> i64 {
        self.queues.values().map(Queue::lag).sum()
    }
}

async fn progress(cluster: &Cluster, addresses: &[&str], group: &str) -> Result<Progress> {
    let mut progress = Progress::default();
    for address in addresses {
        let members = ConsumerGroupHeader {
            consumer_group: group,
        };
        // A group without members is answered as an error.
        let none = [ResponseCode::CONSUMER_NOT_ONLINE, ResponseCode::SYSTEM_ERROR];
        if let Some(answer) = cluster
            .call_unless(
                address,
                request(RequestCode::GET_CONSUMER_CONNECTION_LIST, &members),
                &none,
            )
            .await?
        {
            for member in ConsumerConnection::decode(&answer.body)?.connection_set {
                let known = Member {
                    address: member.client_addr,
                    language: member.language.name(),
                };
                progress.members.insert(member.client_id, known);
            }
        }
        let stats = GetConsumeStatsHeader {
            consumer_group: group,
            topic: None,
            topic_list: None,
        };
        let Some(answer) = cluster
            .call_unless(
                address,
                request(RequestCode::GET_CONSUME_STATS, &stats),
                &[ResponseCode::SYSTEM_ERROR],
            )
            .await?
        else {
            continue;
        };
        for (queue, offsets) in ConsumeStats::decode(&answer.body)?.offset_table {
            let at = Queue {
                offset: offsets.consumer_offset,
                end: offsets.broker_offset,
                last_ms: offsets.last_timestamp_ms,
            };
            progress
                .queues
                .insert((queue.topic, queue.broker_name, queue.queue_id), at);
        }
    }
    Ok(progress)
}

async fn names(cluster: &Cluster, addresses: &[&str]) -> Result<BTreeSet<String>> {
    let header = GetAllGroupConfigHeader {
        group_seq: None,
        data_version: None,
        max_group_num: None,
    };
    let mut names = BTreeSet::new();
    for address in addresses {
        let answer = cluster
            .call(
                address,
                request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &header),
            )
            .await?;
        names.extend(
            SubscriptionGroupTable::decode(&answer.body)?
                .subscription_group_table
                .into_keys(),
        );
    }
    Ok(names)
}

#[derive(Debug, Serialize)]
struct GroupJson<'a> {
    group: &'a str,
    members: usize,
    lag: i64,
}

async fn list(target: &Target) -> Result<()> {
    let cluster = Cluster::of(target);
    let info = cluster.info().await?;
    let addresses: Vec<&str> = masters(&info)?.into_iter().map(|(_, address)| address).collect();
    let mut table = Table::new(&["group", ">members", ">lag"]);
    for group in names(&cluster, &addresses).await? {
        if is_system(&group) {
            continue;
        }
        let progress = progress(&cluster, &addresses, &group).await?;
        let (members, lag) = (progress.members.len(), progress.lag());
        if target.json {
            print_json(&GroupJson {
                group: &group,
                members,
                lag,
            })?;
        } else {
            table.row([group, members.to_string(), number(lag)]);
        }
    }
    if target.json {
        return Ok(());
    }
    print_table(
        &table,
        "no consumer groups yet; the first consumer of a group creates it",
    )
}

/// Groups that brokers make for themselves and for tools.
pub(crate) fn is_system(group: &str) -> bool {
    const TOOLS: [&str; 9] = [
        "TOOLS_CONSUMER",
        "FILTERSRV_CONSUMER",
        "SELF_TEST_C_GROUP",
        "__MONITOR_CONSUMER",
        "CLIENT_INNER_PRODUCER",
        "SELF_TEST_P_GROUP",
        "CID_ONS-HTTP-PROXY",
        "CID_ONSAPI_PERMISSION",
        "CID_ONSAPI_OWNER",
    ];
    name::is_system_group(group) || TOOLS.contains(&group) || group.starts_with("CID_ONSAPI_")
}

#[derive(Debug, Serialize)]
struct QueueJson<'a> {
    group: &'a str,
    topic: &'a str,
    broker: &'a str,
    queue: i32,
    offset: i64,
    end: i64,
    lag: i64,
    members: usize,
}

async fn show(group: &str, target: &Target) -> Result<()> {
    let cluster = Cluster::of(target);
    let info = cluster.info().await?;
    let addresses: Vec<&str> = masters(&info)?.into_iter().map(|(_, address)| address).collect();
    if !names(&cluster, &addresses).await?.contains(group) {
        bail!("there is no group '{group}'; kourou group list shows those there are");
    }
    let progress = progress(&cluster, &addresses, group).await?;
    if target.json {
        for ((topic, broker, queue), at) in &progress.queues {
            let (offset, end, lag) = (at.offset, at.end, at.lag());
            let members = progress.members.len();
            print_json(&QueueJson {
                group,
                topic,
                broker,
                queue: *queue,
                offset,
                end,
                lag,
                members,
            })?;
        }
        return Ok(());
    }
    let paint = Paint::stdout();
    let lag = progress.lag();
    let behind = if lag == 0 {
        "up to date".to_owned()
    } else {
        paint.yellow(&format!("{} behind", number(lag)))
    };
    let members = counted(progress.members.len() as u64, "member");
    print_line(&format!("{}: {members}, {behind}", paint.bold(group)))?;
    for (id, member) in &progress.members {
        print_line(&format!(
            "  {id}  {}",
            paint.dim(&format!("{} at {}", member.language, member.address))
        ))?;
    }
    let now_ms = when::now_ms();
    let mut table = Table::new(&[
        "topic",
        "broker",
        ">queue",
        ">offset",
        ">end",
        ">lag",
        "last consumed",
    ]);
    for ((topic, broker, queue), at) in &progress.queues {
        table.row([
            topic.clone(),
            broker.clone(),
            queue.to_string(),
            number(at.offset),
            number(at.end),
            number(at.lag()),
            when::ago(at.last_ms, now_ms),
        ]);
    }
    print_table(&table, "it has not consumed anything yet")
}
