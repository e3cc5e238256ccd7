//! `kourou group reset` and `kourou group clone`: setting where a group goes on.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail, ensure};
use kourou_proto::RequestCode;
use kourou_proto::body::{ConsumerConnection, ResetOffsetBody};
use kourou_proto::remoting::request::{AdminResetOffsetHeader, CloneGroupOffsetHeader, ConsumerGroupHeader};
use kourou_proto::{Command, ResponseCode};
use serde::Serialize;

use super::cluster::{Cluster, PERM_READ, Queue, queues, request};
use super::when;
use crate::cli::Target;
use crate::output::{Paint, Table, counted, number, print_json, print_line, print_table};

/// Where a group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// With the first message that is stored from this time on.
    Time { ms: i64 },
    /// Behind all messages.
    Latest,
    /// At an offset of one queue.
    Offset(i64),
}

impl Place {
    /// `earliest`, `latest`, an offset, an age (`90s`, `15m`, `2h`, `3d`) or a time in UTC (`2026-08-01T12:00`).
    pub(crate) fn parse(text: &str, now_ms: i64) -> Result<Self> {
        match text {
            "earliest" => return Ok(Self::Time { ms: 0 }),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            ensure!(offset >= 0, "there is no offset {offset}; offsets begin at 0");
            return Ok(Self::Offset(offset));
        }
        when::age_ms(text)
            .map(|age_ms| now_ms.saturating_sub(age_ms))
            .or_else(|| when::utc_ms(text))
            .map(|ms| Self::Time { ms: ms.max(0) })
            .ok_or_else(|| {
                anyhow!(
                    "'{text}' is no place to go to; say earliest, latest, an offset, an age as 90s, 15m, 2h or 3d, or a \
                     time in UTC as 2026-08-01T12:00"
                )
            })
    }
}

#[derive(Debug, Serialize)]
struct OffsetJson<'a> {
    group: &'a str,
    topic: &'a str,
    broker: &'a str,
    queue: i32,
    offset: i64,
}

/// The queues of a topic that can be consumed, by the address of their broker.
async fn brokers(cluster: &Cluster, topic: &str) -> Result<BTreeMap<String, Vec<Queue>>> {
    let Some(route) = cluster.route(topic).await? else {
        bail!("there is no topic '{topic}'; kourou topic list shows those there are");
    };
    let mut brokers: BTreeMap<String, Vec<Queue>> = BTreeMap::new();
    for queue in queues(&route, PERM_READ, |data| data.read_queue_nums) {
        brokers.entry(queue.address.clone()).or_default().push(queue);
    }
    Ok(brokers)
}

async fn members(cluster: &Cluster, address: &str, group: &str) -> Result<usize> {
    let header = ConsumerGroupHeader {
        consumer_group: group,
    };
    // A group without members is answered as an error.
    let none = [ResponseCode::CONSUMER_NOT_ONLINE, ResponseCode::SYSTEM_ERROR];
    let asked = request(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header);
    let Some(answer) = cluster.call_unless(address, asked, &none).await? else {
        return Ok(0);
    };
    Ok(ConsumerConnection::decode(&answer.body)?.connection_set.len())
}

pub(super) async fn reset(
    group: &str,
    topic: &str,
    to: &str,
    queue: Option<i32>,
    target: &Target,
) -> Result<()> {
    let place = Place::parse(to, when::now_ms())?;
    if let (Place::Offset(offset), None) = (place, queue) {
        bail!("offset {offset} of which queue? Add --queue N; kourou group show {group} lists the queues");
    }
    let cluster = Cluster::of(target);
    let mut offsets = BTreeMap::new();
    let mut online = 0;
    for (address, there) in brokers(&cluster, topic).await? {
        if queue.is_some_and(|wanted| there.iter().all(|queue| queue.id != wanted)) {
            continue;
        }
        let header = AdminResetOffsetHeader {
            topic,
            group,
            queue_id: queue.unwrap_or(-1),
            offset: match place {
                Place::Offset(offset) => Some(offset),
                _ => None,
            },
            timestamp_ms: match place {
                Place::Time { ms } => ms,
                _ => -1,
            },
            force: true,
        };
        let asked: Command = request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &header);
        let answer = cluster.call(&address, asked).await?;
        for (queue, offset) in ResetOffsetBody::decode(&answer.body)?.offset_table {
            offsets.insert((queue.broker_name, queue.queue_id), offset);
        }
        online = online.max(members(&cluster, &address, group).await?);
    }
    if offsets.is_empty() {
        bail!("topic '{topic}' has no such queue; kourou topic show {topic} lists those there are");
    }
    let mut table = Table::new(&["broker", ">queue", ">offset"]);
    for ((broker, queue), offset) in &offsets {
        if target.json {
            print_json(&OffsetJson {
                group,
                topic,
                broker,
                queue: *queue,
                offset: *offset,
            })?;
        } else {
            table.row([broker.clone(), queue.to_string(), number(*offset)]);
        }
    }
    if target.json {
        return Ok(());
    }
    let paint = Paint::stdout();
    print_line(&format!("{} goes on in {topic} at", paint.bold(group)))?;
    print_table(&table, "")?;
    print_line(&if online == 0 {
        "nobody is connected: whoever consumes next begins there".to_owned()
    } else {
        format!(
            "{} connected: each is sent there when it asks for more, at once if it waits",
            counted(online as u64, "member")
        )
    })
}

pub(super) async fn clone(from: &str, to: &str, topic: Option<&str>, target: &Target) -> Result<()> {
    let cluster = Cluster::of(target);
    let info = cluster.info().await?;
    let mut online = 0;
    for (_, address) in super::cluster::masters(&info)? {
        let header = CloneGroupOffsetHeader {
            src_group: from,
            dest_group: to,
            topic,
            offline: true,
        };
        cluster
            .call(address, request(RequestCode::CLONE_GROUP_OFFSET, &header))
            .await?;
        online = online.max(members(&cluster, address, to).await?);
    }
    if target.json {
        return print_json(&serde_json::json!({ "from": from, "to": to, "topic": topic }));
    }
    let paint = Paint::stdout();
    let topics = topic.unwrap_or("every topic");
    print_line(&format!("{} is where {from} is, in {topics}", paint.bold(to)))?;
    if online > 0 {
        print_line(&format!(
            "{} connected: consumers that run keep their own place and store it; stop them first",
            counted(online as u64, "member")
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_go_to() {
        let now = 1_700_000_000_000;
        let parse = |text| Place::parse(text, now).ok();
        assert_eq!(parse("earliest"), Some(Place::Time { ms: 0 }));
        assert_eq!(parse("latest"), Some(Place::Latest));
        assert_eq!(parse("7"), Some(Place::Offset(7)));
        assert_eq!(parse("2h"), Some(Place::Time { ms: now - 7_200_000 }));
        assert_eq!(
            parse("2026-08-01T12:00"),
            Some(Place::Time {
                ms: 1_785_585_600_000
            })
        );
        for nonsense in ["", "-1", "soon", "2 h", "2026-13-01", "99999999999999999999d"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
