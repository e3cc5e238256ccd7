//! What the client sends. It is looked at afterwards by the remoting client for Java.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use rocketmq::model::message::MessageBuilder;
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use serde_json::{Value, json};

use crate::content;
use crate::run::{self, Run};

pub(crate) async fn send(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_cross");
    let producer = run.producer(&topic).await?;
    for i in 0..content::MESSAGES {
        let receipt = producer.send(content::made(&topic, i)?).await?;
        let id = receipt.message_id();
        ensure!(id.len() == 34, "the message id is {id}");
    }
    producer.shutdown().await?;
    Ok(json!({"messages": content::MESSAGES}))
}

pub(crate) async fn fifo(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_fifo");
    let producer = run.producer(&topic).await?;
    for i in 0..100 {
        let group = format!("group {}", i % 5);
        let body = format!("{group} {i}").into_bytes();
        producer
            .send(MessageBuilder::fifo_message_builder(&topic, body, &group).build()?)
            .await?;
    }
    producer.shutdown().await?;
    Ok(json!({"messages": 100}))
}

pub(crate) async fn delay(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_delay");
    let producer = run.producer(&topic).await?;
    // The client knows whole seconds only.
    let due_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3;
    let body = format!("later {}", due_s * 1_000).into_bytes();
    producer
        .send(MessageBuilder::delay_message_builder(&topic, body, i64::try_from(due_s)?).build()?)
        .await?;
    producer.shutdown().await?;
    Ok(json!({"due": due_s}))
}

pub(crate) async fn transactions(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_transactions");
    let asked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let producer = run
        .transactional(
            &topic,
            Box::new(move |_, half| {
                let body = String::from_utf8_lossy(half.body()).into_owned();
                let commit = body.contains("commit");
                heard.lock().unwrap_or_else(PoisonError::into_inner).insert(body);
                if commit {
                    TransactionResolution::COMMIT
                } else {
                    TransactionResolution::ROLLBACK
                }
            }),
        )
        .await?;
    for i in 0..20 {
        let kind = ["commit", "rollback", "late commit", "late rollback"][i % 4];
        let body = format!("{kind} {i}").into_bytes();
        let half = MessageBuilder::transaction_message_builder(&topic, body).build()?;
        let transaction = producer.send_transaction_message(half).await?;
        match kind {
            "commit" => transaction.commit().await?,
            "rollback" => transaction.rollback().await?,
            _ => {}
        }
    }
    let asked = || asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // Of those that nobody has decided.
    let late = || asked().iter().filter(|body| body.starts_with("late")).count();
    run::wait(
        || format!("10 to be asked for, now {:?}", asked()),
        || late() == 10,
    )
    .await?;
    producer.shutdown().await?;
    Ok(json!({"asked": asked().len()}))
}

pub(crate) async fn refused(run: &Run) -> Result<Value> {
    let topic = run.name("grpc_cross");
    let nowhere = run.name("grpc_nowhere");
    let producer = run.producer(&topic).await?;
    let plain = |topic: &str| MessageBuilder::builder().set_topic(topic).set_body(vec![1]);

    let outcome = producer.send(plain(&nowhere).build()?).await;
    run::refused("TOPIC_NOT_FOUND", "a topic that does not exist", outcome)?;
    let outcome = producer.send(plain(&topic).set_message_group("g").build()?).await;
    run::refused(
        "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE",
        "an ordered message to a normal topic",
        outcome,
    )?;
    let outcome = producer
        .send(plain(&topic).set_body(vec![0; (4 << 20) + 1]).build()?)
        .await;
    run::refused("MESSAGE_BODY_TOO_LARGE", "a body of more than 4 MiB", outcome)?;
    let reserved = [("UNIQ_KEY", "x")].into();
    let outcome = producer
        .send(plain(&topic).set_properties(reserved).build()?)
        .await;
    run::refused(
        "ILLEGAL_MESSAGE_PROPERTY_KEY",
        "a property whose name is reserved",
        outcome,
    )?;
    producer.shutdown().await?;
    Ok(json!({"refused": 4}))
}
