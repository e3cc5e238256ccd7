//! What popping costs and how punctual it is.
//!
//! `benches/pops [OUT [SECONDS]]` builds the broker, starts it on an empty folder and measures
//!
//! - the memory of each message that is out and not acknowledged: `OUT` of them;
//! - how late messages come again that nobody acknowledged: 5,000 a second;
//! - messages a second that are popped and acknowledged, 32 at a time, by 16 connections.
//!
//! `pops KOUROU [OUT [SECONDS]]` is that without building; `pops --at HOST:PORT [SECONDS]` is the last of them at any RocketMQ broker,
//! on topics of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kourou_benches::served::{Outcome, Served};
use kourou_proto::body::{AckBits, BatchAck, BatchAckRequest};
use kourou_proto::message::stored::StoredMessage;
use kourou_proto::remoting::request::{CreateTopicHeader, PopMessageHeader, SendMessageHeader, SendNames};
use kourou_proto::remoting::response::PopMessageResponse;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

const OUT: u64 = 1_000_000;
const SECONDS: u64 = 10;
/// A broker has 100,000 messages of one queue out at the most.
const QUEUES: i32 = 16;
const CONNECTIONS: usize = 16;
const MESSAGES_PER_POP: i32 = 32;
const MESSAGES_PER_BATCH: u64 = 100;
const BODY_SIZE_BYTES: usize = 100;
const LATE_PER_SECOND: u64 = 5_000;
/// Long enough that nothing of a measurement comes again in it.
const LONG_MS: i64 = 3 * 3_600_000;
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match arguments.first().map(String::as_str) {
        None => Err("say where the kourou binary is, e.g. target/release/kourou".into()),
        Some("--at") => {
            let address = arguments.get(1).ok_or("say where the broker is")?;
            runtime.block_on(rate(address, number(2, SECONDS)?))
        }
        Some(binary) => {
            let binary = Path::new(binary);
            // Beside the binary: the system's temporary folder may be in memory.
            let broker = Served::start(binary, binary.parent().ok_or("the binary is in no folder")?)?;
            let address = broker.address.to_string();
            let (out, seconds) = (number(1, OUT)?, number(2, SECONDS)?);
            runtime.block_on(async {
                rate(&address, seconds).await?;
                lateness(&address, seconds).await?;
                memory(&broker, out).await
            })
        }
    }
}

async fn call(link: &Link, request: Command) -> Outcome<Command> {
    let answer = link.call(request, LIMIT).await?;
    match answer.response_code() {
        ResponseCode::SUCCESS => Ok(answer),
        code => Err(format!("{code}: {}", answer.remark()).into()),
    }
}

async fn make_topic(link: &Link, topic: &str) -> Outcome<()> {
    let header = CreateTopicHeader::plain(topic, QUEUES);
    let request = Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 0).with_fields(&header);
    call(link, request).await.map(drop)
}

/// Puts so many messages into a topic, evenly over its queues.
async fn fill(address: &str, topic: &str, count: u64) -> Outcome<()> {
    let mut body = Vec::new();
    for _ in 0..MESSAGES_PER_BATCH {
        for field in [22 + BODY_SIZE_BYTES as i32, 0, 0, 0, BODY_SIZE_BYTES as i32] {
            body.extend_from_slice(&field.to_be_bytes());
        }
        body.extend_from_slice(&[b'x'; BODY_SIZE_BYTES]);
        body.extend_from_slice(&0_i16.to_be_bytes());
    }
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let link = Link::connect(address).await?;
        let (next, topic, body) = (next.clone(), topic.to_owned(), body.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed);
                if batch * MESSAGES_PER_BATCH >= count {
                    return Outcome::Ok(());
                }
                let header = SendMessageHeader {
                    names: SendNames::Short,
                    producer_group: "pops",
                    topic: &topic,
                    default_topic: "TBW102",
                    default_topic_queue_nums: QUEUES,
                    queue_id: (batch % QUEUES as u64) as i32,
                    sys_flag: 0,
                    born_timestamp_ms: now_ms(),
                    flag: 0,
                    properties: "",
                    reconsume_times: 0,
                    unit_mode: false,
                    max_reconsume_times: None,
                    batch: true,
                    broker_name: None,
                };
                let request = Command::request(RequestCode::SEND_BATCH_MESSAGE, 0)
                    .with_fields(&header)
                    .with_body(body.clone());
                call(&link, request).await?;
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// One pop; `None` if there was nothing.
async fn pop(
    link: &Link,
    topic: &str,
    max: i32,
    invisible_ms: i64,
    poll_ms: i64,
) -> Outcome<Option<Command>> {
    let header = PopMessageHeader {
        consumer_group: "poppers",
        topic,
        queue_id: -1,
        max_msg_nums: max,
        invisible_ms,
        poll_ms,
        born_timestamp_ms: now_ms(),
        init_mode: 0,
        expression_type: Some("TAG"),
        expression: Some("*"),
        order: false,
        attempt_id: None,
    };
    let request = Command::request(RequestCode::POP_MESSAGE, 0).with_fields(&header);
    let answer = link.call(request, LIMIT).await?;
    match answer.response_code() {
        ResponseCode::SUCCESS => Ok(Some(answer)),
        ResponseCode::POLLING_TIMEOUT | ResponseCode::PULL_NOT_FOUND => Ok(None),
        code => Err(format!("{code}: {}", answer.remark()).into()),
    }
}

/// The offsets that an answer names, by queue.
fn offsets(answer: &Command) -> Outcome<Vec<(i32, i64, Vec<i64>)>> {
    let fields = PopMessageResponse::decode(answer)?;
    let starts = fields.start_offset_info.unwrap_or_default().split(';');
    let all = fields.msg_offset_info.unwrap_or_default().split(';');
    let mut queues = Vec::new();
    for (start, offsets) in starts.zip(all) {
        let last = |info: &str| info.rsplit(' ').next().unwrap_or_default().to_owned();
        let queue_id = start
            .split(' ')
            .nth(1)
            .ok_or("no queue in startOffsetInfo")?
            .parse()?;
        let offsets = last(offsets)
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        queues.push((queue_id, last(start).parse()?, offsets));
    }
    Ok(queues)
}

async fn acknowledge(link: &Link, topic: &str, answer: &Command) -> Outcome<u64> {
    let fields = PopMessageResponse::decode(answer)?;
    let mut count = 0;
    let mut acks = Vec::new();
    for (queue_id, start_offset, offsets) in offsets(answer)? {
        count += offsets.len() as u64;
        let distances: Vec<usize> = offsets
            .iter()
            .filter_map(|offset| usize::try_from(offset - start_offset).ok())
            .collect();
        acks.push(BatchAck {
            consumer_group: "poppers".to_owned(),
            topic: topic.to_owned(),
            retry: "0".to_owned(),
            start_offset,
            queue_id,
            revive_queue_id: fields.revive_qid,
            pop_ms: fields.pop_ms,
            invisible_ms: fields.invisible_ms,
            bits: AckBits::of(&distances),
        });
    }
    let request = BatchAckRequest {
        acks,
        broker_name: None,
    };
    let request = Command::request(RequestCode::BATCH_ACK_MESSAGE, 0).with_body(request.encode());
    call(link, request).await?;
    Ok(count)
}

async fn rate(address: &str, seconds: u64) -> Outcome<()> {
    let topic = format!("pops_rate_{}", now_ms());
    make_topic(&Link::connect(address).await?, &topic).await?;
    fill(address, &topic, 1_000_000).await?;
    let begin = Instant::now();
    let until = begin + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let link = Link::connect(address).await?;
        let topic = topic.clone();
        tasks.push(tokio::spawn(async move {
            let (mut pops, mut count) = (0_u64, 0);
            while Instant::now() < until {
                if let Some(answer) = pop(&link, &topic, MESSAGES_PER_POP, 60_000, 0).await? {
                    pops += 1;
                    count += acknowledge(&link, &topic, &answer).await?;
                }
            }
            Outcome::Ok((pops, count))
        }));
    }
    let (mut pops, mut count) = (0, 0);
    for task in tasks {
        let (its_pops, its_count) = task.await??;
        pops += its_pops;
        count += its_count;
    }
    let took = begin.elapsed().as_secs_f64();
    println!(
        "popped and acknowledged: {:.0} messages a second, by {:.0} pops and as many acknowledgements",
        count as f64 / took,
        pops as f64 / took
    );
    Ok(())
}

async fn lateness(address: &str, seconds: u64) -> Outcome<()> {
    // Pops of the topic take what comes again, too: nothing may before all are out.
    let short_ms = i64::try_from(seconds * 1_000)? + 2_000;
    let topic = "pops_late";
    let retry_topic = "%RETRY%poppers_pops_late";
    let link = Link::connect(address).await?;
    make_topic(&link, topic).await?;
    let wanted = LATE_PER_SECOND * seconds;
    fill(address, topic, wanted).await?;
    let late_ms: Arc<std::sync::Mutex<Vec<i64>>> = Arc::default();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS / 2 {
        let link = Link::connect(address).await?;
        let late_ms = late_ms.clone();
        tasks.push(tokio::spawn(async move {
            loop {
                // The topic is made by the first message that comes again.
                let Ok(found) = pop(&link, retry_topic, MESSAGES_PER_POP, LONG_MS, 5_000).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let Some(answer) = found else { continue };
                let again_ms = PopMessageResponse::decode(&answer)?.pop_ms;
                let mut rest = &*answer.body;
                while !rest.is_empty() {
                    let (message, after) = StoredMessage::parse(rest)?;
                    let first_ms: i64 = message
                        .properties
                        .split('\u{2}')
                        .find_map(|entry| entry.strip_prefix("1ST_POP_TIME\u{1}"))
                        .ok_or("no time of the first pop")?
                        .parse()?;
                    late_ms
                        .lock()
                        .map_err(|_| "a task has failed")?
                        .push(again_ms - first_ms - short_ms);
                    rest = after;
                }
            }
            #[allow(unreachable_code, reason = "says what the task would return")]
            Outcome::Ok(())
        }));
    }
    let begin = tokio::time::Instant::now();
    let mut popped = 0;
    while popped < wanted {
        tokio::time::sleep_until(begin + Duration::from_micros(1_000_000 * popped / LATE_PER_SECOND)).await;
        match pop(&link, topic, MESSAGES_PER_POP, short_ms, 0).await? {
            Some(answer) => {
                popped += offsets(&answer)?
                    .iter()
                    .map(|queue| queue.2.len() as u64)
                    .sum::<u64>()
            }
            None => return Err(format!("only {popped} of {wanted} messages").into()),
        }
    }
    let deadline = Instant::now() + LIMIT;
    let count = || late_ms.lock().map_or(0, |late_ms| late_ms.len() as u64);
    while count() < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let mut late_ms = late_ms.lock().map_err(|_| "a task has failed")?.clone();
    late_ms.sort_unstable();
    let at = |share: f64| {
        late_ms
            .get(((late_ms.len() - 1) as f64 * share) as usize)
            .copied()
            .unwrap_or(0)
    };
    if late_ms.len() as u64 != wanted {
        return Err(format!("{} of {wanted} messages came again", late_ms.len()).into());
    }
    println!(
        "not acknowledged, {LATE_PER_SECOND} a second: each of {wanted} came again once, after its time by p50 {} ms, p99 {} ms, p99.9 {} \
         ms, max {} ms, min {} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        at(0.0)
    );
    Ok(())
}

async fn memory(broker: &Served, out: u64) -> Outcome<()> {
    let address = broker.address.to_string();
    let topic = "pops_memory";
    make_topic(&Link::connect(&address).await?, topic).await?;
    fill(&address, topic, out).await?;
    // Until memory that a burst needed has been given back.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = broker.anonymous_bytes()?;
    let popped = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS / 2 {
        let link = Link::connect(&address).await?;
        let popped = popped.clone();
        tasks.push(tokio::spawn(async move {
            while popped.load(Ordering::Relaxed) < out {
                if let Some(answer) = pop(&link, topic, MESSAGES_PER_POP, LONG_MS, 0).await? {
                    let count: usize = offsets(&answer)?.iter().map(|queue| queue.2.len()).sum();
                    popped.fetch_add(count as u64, Ordering::Relaxed);
                }
            }
            Outcome::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = broker.anonymous_bytes()?;
    let count = popped.load(Ordering::Relaxed);
    println!(
        "out and not acknowledged: {count} messages take {} MiB, {:.0} bytes each",
        after.saturating_sub(before) >> 20,
        after.saturating_sub(before) as f64 / count as f64
    );
    Ok(())
}
