//! What the client receives by asking for it, each message acknowledged on its own.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::MessageView;
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
