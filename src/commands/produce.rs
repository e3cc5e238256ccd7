//! `kourou produce`: one message, or one for each line of standard input; a window of sends is under way at a time.

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kourou_broker::name;
use kourou_proto::remoting::request::{SendMessageHeader, SendNames};
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{HeaderFields, RequestCode};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::cluster::{Cluster, PERM_WRITE, Queue, queues, request};
use super::when;
use crate::cli::Produce;
use crate::output::{Paint, counted, print_json, print_line};

const WINDOW: usize = 64;

/// Queues of a topic that a send creates, as other clients ask for.
const NEW_TOPIC_QUEUES: i32 = 4;

/// What brokers take.
const BODY_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;

const PRODUCER_GROUP: &str = "kourou-cli";

pub(super) async fn run(produce: Produce) -> Result<()> {
    name::check_topic(&produce.topic).with_context(|| format!("topic '{}'", produce.topic))?;
    let cluster = Arc::new(Cluster::of(&produce.target));
    let queues = write_queues(&cluster, &produce.topic).await?;
    let properties: Arc<str> = properties(&produce)?.into();
    let topic: Arc<str> = produce.topic.as_str().into();

    let mut bodies = bodies(produce.body.map(Bytes::from), produce.count);
    let mut window: VecDeque<JoinHandle<Result<Sent>>> = VecDeque::with_capacity(WINDOW);
    let mut more = true;
    // Not always the first queue, for those who send one message at a time.
    let mut next_queue = std::process::id() as usize;
    let mut sent_count: u64 = 0;
    let begin = Instant::now();
    while more || !window.is_empty() {
        tokio::select! {
            body = bodies.recv(), if more && window.len() < WINDOW => {
                let Some(body) = body else { more = false; continue };
                let queue = queues[next_queue % queues.len()].clone();
                next_queue = next_queue.wrapping_add(1);
                let (cluster, topic, properties) = (cluster.clone(), topic.clone(), properties.clone());
                window.push_back(tokio::spawn(async move { send(&cluster, &topic, &queue, &properties, body?).await }));
            }
            outcome = oldest(&mut window), if !window.is_empty() => {
                window.pop_front();
                let after = |count| if count == 0 { "nothing was sent".to_owned() } else { format!("after {}", counted(count, "message")) };
                let sent = outcome.context("the send was dropped")?.with_context(|| after(sent_count))?;
                sent_count += 1;
                sent.print(&topic, produce.target.json)?;
            }
        }
    }
    if sent_count != 1 && !produce.target.json && io::stderr().is_terminal() {
        eprintln!(
            "{} in {} ms",
            counted(sent_count, "message"),
            begin.elapsed().as_millis()
        );
    }
    Ok(())
}

/// Waits for the send that began first, so that what is printed keeps the order of the input.
async fn oldest(
    window: &mut VecDeque<JoinHandle<Result<Sent>>>,
) -> Result<Result<Sent>, tokio::task::JoinError> {
    match window.front_mut() {
        Some(first) => first.await,
        None => std::future::pending().await,
    }
}

/// The topic's writable queues; of the template for new topics while there is no such topic.
async fn write_queues(cluster: &Cluster, topic: &str) -> Result<Vec<Queue>> {
    if let Some(route) = cluster.route(topic).await? {
        let queues = queues(&route, PERM_WRITE, |data| data.write_queue_nums);
        if queues.is_empty() {
            bail!("topic '{topic}' has no writable queue");
        }
        return Ok(queues);
    }
    let template = cluster.route(name::AUTO_CREATE_TOPIC).await?;
    let queues = template
        .map(|route| {
            queues(&route, PERM_WRITE, |data| {
                data.write_queue_nums.min(NEW_TOPIC_QUEUES)
            })
        })
        .unwrap_or_default();
    if queues.is_empty() {
        bail!(
            "there is no topic '{topic}', and sends do not create topics here; kourou topic create {topic}"
        );
    }
    Ok(queues)
}

/// The message's properties as they are stored: name, 1, value, 2.
fn properties(produce: &Produce) -> Result<String> {
    let keys = (!produce.key.is_empty()).then(|| produce.key.join(" "));
    let pairs = [
        ("KEYS", keys.as_deref()),
        ("TAGS", produce.tag.as_deref()),
        ("WAIT", Some("true")),
    ];
    let own = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let users = produce
        .property
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut text = String::new();
    for (name, value) in own.chain(users) {
        if [name, value].iter().any(|part| part.contains(['\u{1}', '\u{2}'])) {
            bail!("property {name:?} contains a separator of properties (byte 1 or 2)");
        }
        text.extend([name, "\u{1}", value, "\u{2}"]);
    }
    Ok(text)
}

/// The bodies to send: one text, or the lines of standard input; each `count` times.
fn bodies(text: Option<Bytes>, count: u64) -> mpsc::Receiver<Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(WINDOW);
    // Standard input blocks, so it has a thread; the process does not wait for it.
    std::thread::spawn(move || {
        let send_all = |body: Result<Bytes>| match body {
            Ok(body) => (0..count).all(|_| sender.blocking_send(Ok(body.clone())).is_ok()),
            Err(error) => {
                // Nobody listens any more: then nobody wants to know.
                let _ = sender.blocking_send(Err(error));
                false
            }
        };
        if let Some(text) = text {
            send_all(Ok(text));
            return;
        }
        let stdin = io::stdin();
        if stdin.is_terminal() {
            eprintln!("one message a line; Ctrl-D ends");
        }
        let mut stdin = stdin.lock();
        while let Some(line) = line(&mut stdin).transpose() {
            if !send_all(line) {
                return;
            }
        }
    });
    receiver
}

/// The next line without its end.
fn line(input: &mut impl BufRead) -> Result<Option<Bytes>> {
    let mut line = Vec::new();
    let limit = BODY_SIZE_BYTES_MAX as u64 + 2;
    input
        .by_ref()
        .take(limit)
        .read_until(b'\n', &mut line)
        .context("cannot read standard input")?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        line.pop();
    }
    if line.len() > BODY_SIZE_BYTES_MAX {
        bail!("a line is longer than a message may be, {BODY_SIZE_BYTES_MAX} bytes");
    }
    Ok(Some(line.into()))
}

#[derive(Debug, Serialize)]
struct Sent {
    queue: i32,
    offset: i64,
    id: String,
}

#[derive(Debug, Serialize)]
struct SentJson<'a> {
    topic: &'a str,
    #[serde(flatten)]
    sent: &'a Sent,
}

impl Sent {
    fn print(&self, topic: &str, json: bool) -> Result<()> {
        if json {
            return print_json(&SentJson { topic, sent: self });
        }
        let id = Paint::stdout().dim(&self.id);
        print_line(&format!(
            "{topic} queue {} offset {}  {id}",
            self.queue, self.offset
        ))
    }
}

async fn send(cluster: &Cluster, topic: &str, queue: &Queue, properties: &str, body: Bytes) -> Result<Sent> {
    let header = SendMessageHeader {
        names: SendNames::Short,
        producer_group: PRODUCER_GROUP,
        topic,
        default_topic: name::AUTO_CREATE_TOPIC,
        default_topic_queue_nums: NEW_TOPIC_QUEUES,
        queue_id: queue.id,
        sys_flag: 0,
        born_timestamp_ms: when::now_ms(),
        flag: 0,
        properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker_name: Some(&queue.broker),
    };
    let answer = cluster
        .call(
            &queue.address,
            request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body),
        )
        .await?;
    let sent = SendMessageResponse::from_fields(&answer.header.fields)?;
    Ok(Sent {
        queue: sent.queue_id,
        offset: sent.queue_offset,
        id: sent.transaction_id.unwrap_or(sent.msg_id).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_bytes_and_lose_their_end() {
        let mut input: &[u8] = b"one\n\n\xffthree";
        let mut next = || line(&mut input).unwrap().map(|line| line.to_vec());
        assert_eq!(next().unwrap(), b"one");
        assert_eq!(next().unwrap(), b"");
        assert_eq!(next().unwrap(), b"\xffthree");
        assert_eq!(next(), None);
    }

    #[test]
    fn a_line_longer_than_a_message_is_refused() {
        let long = vec![b'x'; BODY_SIZE_BYTES_MAX + 5];
        assert!(line(&mut long.as_slice()).is_err());
        let fits = [vec![b'x'; BODY_SIZE_BYTES_MAX], vec![b'\n']].concat();
        assert_eq!(
            line(&mut fits.as_slice()).unwrap().unwrap().len(),
            BODY_SIZE_BYTES_MAX
        );
    }
}
