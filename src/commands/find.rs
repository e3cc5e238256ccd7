//! `kourou message`: messages by key, by unique id, by where they are stored.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::remoting::request::{QueryMessageHeader, ViewMessageHeader};
use kourou_proto::{RequestCode, ResponseCode};

use super::cluster::{Cluster, PERM_READ, queues, request};
use super::message::Message;
use crate::cli::{Find, Target};
use crate::output::{Paint, print_line};

/// Clients mark the query of a unique key with this kind of index, and of any other key with that one.
const INDEX_OF_UNIQUE_KEYS: &str = "U";
const INDEX_OF_KEYS: &str = "K";

pub(super) async fn run(find: Find) -> Result<()> {
    match find {
        Find::Key {
            topic,
            key,
            count,
            target,
        } => {
            let header = QueryMessageHeader {
                index_type: Some(INDEX_OF_KEYS),
                max_num: count,
                ..of_any_time(&topic, &key)
            };
            let found = query(&target, &header).await?;
            print(&found, &target, || {
                format!("no message of topic '{topic}' has the key '{key}'")
            })
        }
        Find::Id { topic, id, target } => {
            let header = QueryMessageHeader {
                index_type: Some(INDEX_OF_UNIQUE_KEYS),
                unique_key: true,
                ..of_any_time(&topic, &id)
            };
            let found = query(&target, &header).await?;
            print(&found, &target, || {
                format!("no message of topic '{topic}' has the id '{id}'")
            })
        }
        Find::At { id, target } => {
            let found = at(&target, &id).await?;
            print(&[found], &target, || format!("there is no message at '{id}'"))
        }
    }
}

fn of_any_time<'a>(topic: &'a str, key: &'a str) -> QueryMessageHeader<'a> {
    QueryMessageHeader {
        topic,
        key,
        max_num: 0,
        begin_timestamp_ms: 0,
        end_timestamp_ms: i64::MAX,
        unique_key: false,
        index_type: None,
    }
}

/// What each broker of the topic finds: messages back to back.
async fn query(target: &Target, header: &QueryMessageHeader<'_>) -> Result<Vec<Bytes>> {
    let cluster = Cluster::of(target);
    let Some(route) = cluster.route(header.topic).await? else {
        bail!(
            "the name server knows no topic '{}'; kourou topic list shows all",
            header.topic
        );
    };
    let mut addresses: Vec<_> = queues(&route, PERM_READ, |data| data.read_queue_nums)
        .into_iter()
        .map(|queue| queue.address)
        .collect();
    addresses.dedup();
    let mut found = Vec::new();
    for address in addresses {
        let query = request(RequestCode::QUERY_MESSAGE, header);
        let answer = cluster
            .call_unless(&address, query, &[ResponseCode::QUERY_NOT_FOUND])
            .await?;
        found.extend(answer.map(|answer| answer.body));
    }
    Ok(found)
}

/// The message that lies where an offset id says. The id names the broker, too.
async fn at(target: &Target, id: &str) -> Result<Bytes> {
    let id = OffsetMessageId::parse(id).with_context(|| {
        format!("'{id}' does not say where a message is stored; kourou message id TOPIC ID finds one by the id that its sender gave")
    })?;
    let view = request(
        RequestCode::VIEW_MESSAGE_BY_ID,
        &ViewMessageHeader {
            topic: None,
            position: id.position,
        },
    );
    let answer = Cluster::of(target).call(&id.store_host.to_string(), view).await?;
    Ok(answer.body)
}

fn print(found: &[Bytes], target: &Target, none: impl Fn() -> String) -> Result<()> {
    let paint = Paint::stdout();
    let mut count = 0;
    for mut bytes in found.iter().map(|bytes| &bytes[..]) {
        while !bytes.is_empty() {
            let message = Message::take(&mut bytes)?;
            if target.json {
                print_line(&message.json()?)?;
            } else {
                print_line(&message.line(paint))?;
            }
            count += 1;
        }
    }
    // A script sees it by the exit code.
    if count == 0 {
        bail!("{}", none());
    }
    Ok(())
}
