//! What the client receives by asking for it, each message acknowledged on its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{MessageBuilder, MessageView};
use serde_json::{Value, json};

use crate::content;
use crate::run::Run;

/// The messages of [`content`], each once, by their index.
async fn everything(run: &Run, group: &str, topic: &str) -> Result<HashMap<String, MessageView>> {
    let consumer = run.simple(group, topic).await?;
    let all = FilterExpression::new(FilterType::Tag, "*");
    let mut found = HashMap::new();
    while found.len() < content::MESSAGES {
        for one in consumer
            .receive_with(topic, &all, 32, Duration::from_secs(30))
            .await?
        {
            consumer.ack(&one).await?;
            let index = one.properties().get("index").context("no index")?.clone();
            ensure!(
                found.insert(index.clone(), one).is_none(),
                "message {index} came again"
            );
        }
    }
    consumer.shutdown().await?;
    Ok(found)
}

/// Of thirty messages one is not acknowledged, and comes again when its time is over.
pub(crate) async fn simple(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_simple");
    let producer = run.producer(&topic).await?;
    for i in 0..30 {
        let body = format!("simple {i}").into_bytes();
        producer
            .send(
                MessageBuilder::builder()
                    .set_topic(&topic)
                    .set_body(body)
                    .build()?,
            )
            .await?;
    }
    let consumer = run.simple(&run.name("g_grpc_simple"), &topic).await?;
    let all = FilterExpression::new(FilterType::Tag, "*");
    // The shortest that there is: this client cannot change it afterwards.
    let invisible = Duration::from_secs(10);
    let mut attempts: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    let mut later = None;
    while attempts.values().map(Vec::len).sum::<usize>() < 31 {
        let asked = Instant::now();
        for one in consumer.receive_with(&topic, &all, 32, invisible).await? {
            let body = String::from_utf8_lossy(one.body()).into_owned();
            match later {
                None if body == "simple 7" => later = Some(asked + invisible),
                _ => consumer.ack(&one).await?,
            }
            if one.delivery_attempt() > 1 {
                ensure!(
                    later.is_some_and(|later| Instant::now() >= later),
                    "before its time"
                );
            }
            attempts.entry(body).or_default().push(one.delivery_attempt());
        }
    }
    for i in 0..30 {
        let wanted = if i == 7 { vec![1, 2] } else { vec![1] };
        let found = attempts.get(&format!("simple {i}"));
        ensure!(found == Some(&wanted), "delivery attempts of {i}: {found:?}");
    }
    let left = consumer.receive_with(&topic, &all, 32, invisible).await?;
    ensure!(left.is_empty(), "{} are left", left.len());
    producer.shutdown().await?;
    consumer.shutdown().await?;
    Ok(json!({"messages": 30}))
}

/// A group that consumes in order gets a batch of each queue at a time, and the next when all of it is acknowledged.
pub(crate) async fn ordered(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_ordered");
    let producer = run.producer(&topic).await?;
    for i in 0..100 {
        let group = format!("group {}", i % 5);
        let body = format!("{group} {i}").into_bytes();
        producer
            .send(MessageBuilder::fifo_message_builder(&topic, body, &group).build()?)
            .await?;
    }
    let consumer = run.simple(&run.name("g_grpc_ordered"), &topic).await?;
    let all = FilterExpression::new(FilterType::Tag, "*");
    let mut order: HashMap<String, Vec<String>> = HashMap::new();
    let mut count = 0;
    while count < 100 {
        for one in consumer
            .receive_with(&topic, &all, 8, Duration::from_secs(30))
            .await?
        {
            consumer.ack(&one).await?;
            let group = one.message_group().context("no message group")?.to_owned();
            order
                .entry(group)
                .or_default()
                .push(String::from_utf8_lossy(one.body()).into_owned());
            count += 1;
        }
    }
    for group in 0..5 {
        let name = format!("group {group}");
        let wanted: Vec<String> = (group..100).step_by(5).map(|i| format!("{name} {i}")).collect();
        ensure!(order.get(&name) == Some(&wanted), "order: {:?}", order.get(&name));
    }
    producer.shutdown().await?;
    consumer.shutdown().await?;
    Ok(json!({"messages": count}))
}

pub(crate) async fn matrix_receive(run: &Run, sender: &str) -> Result<Value> {
    let topic = format!("matrix_{sender}_{}", run.suffix);
    let found = everything(run, &format!("g_{topic}_by_rust"), &topic).await?;
    for i in 0..content::MESSAGES {
        let one = found.get(&i.to_string()).with_context(|| format!("no {i}"))?;
        ensure!(one.body() == content::body(i), "body of {i}");
        ensure!(one.tag() == Some(&content::tag(i)), "tag of {i}: {:?}", one.tag());
        let keys = |keys: &[String]| keys.iter().cloned().collect::<BTreeSet<String>>();
        ensure!(
            keys(one.keys()) == keys(&content::keys(i)),
            "keys of {i}: {:?}",
            one.keys()
        );
        ensure!(
            *one.properties() == content::properties(i),
            "properties of {i}: {:?}",
            one.properties()
        );
        ensure!(
            one.delivery_attempt() == 1,
            "attempt of {i}: {}",
            one.delivery_attempt()
        );
    }
    Ok(json!({"messages": found.len()}))
}

pub(crate) async fn matrix_send(run: &Run) -> Result<Value> {
    let topic = format!("matrix_rust_{}", run.suffix);
    let producer = run.producer(&topic).await?;
    for i in 0..content::MESSAGES {
        producer.send(content::made(&topic, i)?).await?;
    }
    producer.shutdown().await?;
    Ok(json!({"messages": content::MESSAGES}))
}
