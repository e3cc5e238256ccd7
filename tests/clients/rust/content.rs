//! Messages by a rule that every program knows, so that nothing but the broker carries them across.

use std::collections::HashMap;

use anyhow::Result;
use rocketmq::model::message::{Message, MessageBuilder};

pub(crate) const MESSAGES: usize = 40;

pub(crate) fn body(i: usize) -> Vec<u8> {
    format!("\u{4f60}\u{597d} {i} {}", "0123456789".repeat(i * 100)).into_bytes()
}

pub(crate) fn tag(i: usize) -> String {
    format!("tag\u{3a9}{}", i % 5)
}

pub(crate) fn keys(i: usize) -> Vec<String> {
    vec![format!("\u{8ba2}\u{5355}{i}"), format!("key{i}")]
}

pub(crate) fn properties(i: usize) -> HashMap<String, String> {
    HashMap::from([
        ("index".to_owned(), i.to_string()),
        ("\u{540d}".to_owned(), format!("\u{503c} \u{1f680} {i}")),
    ])
}

pub(crate) fn made(topic: &str, i: usize) -> Result<impl Message> {
    Ok(MessageBuilder::builder()
        .set_topic(topic)
        .set_body(body(i))
        .set_tag(tag(i))
        .set_keys(keys(i))
        .set_properties(properties(i))
        .build()?)
}
