//! `kourou store inspect`: what a store holds.

use std::collections::BTreeMap;

use anyhow::Result;
use kourou_broker::audit::{Audited, BeyondEnd, audit};
use kourou_engine::clock::{Clock, SystemClock};
use kourou_engine::verify::Summary;
use serde::Serialize;

use super::{Outcome, closed};
use crate::cli::store::Place;
use crate::commands::when::ago;
use crate::output::{Paint, Table, counted, grouped, print_json, print_line, print_table, size};

#[derive(Debug, Serialize)]
struct StoreJson {
    segment_size_bytes: u64,
    segments: usize,
    files_size_bytes: u64,
    first_position: u64,
    end_position: u64,
    first_store_ms: Option<i64>,
    last_store_ms: Option<i64>,
    topics: usize,
    queues: usize,
    messages: u64,
    groups: usize,
    offsets: usize,
    replayed_records: u64,
    damaged_places: u64,
}

#[derive(Debug, Serialize)]
struct QueueJson<'a> {
    topic: &'a str,
    queue: u32,
    min: u64,
    max: u64,
    messages: u64,
}

#[derive(Debug, Serialize)]
struct BeyondJson<'a> {
    group: &'a str,
    topic: &'a str,
    queue: u32,
    offset: u64,
    end: u64,
}

#[derive(Debug, Serialize)]
struct CheckpointJson<'a> {
    checkpoint: String,
    serial: Option<u64>,
    life: Option<u64>,
    position: Option<u64>,
    last_store_ms: Option<i64>,
    damage: Option<&'a str>,
}

pub(super) fn run(place: &Place) -> Result<Outcome> {
    let store = closed(&place.dir)?;
    let summary = store.summary()?;
    let audited = audit(&store)?;
    if place.json {
        print_as_json(&summary, &audited)?;
    } else {
        print_for_people(&summary, &audited)?;
    }
    let checkpoints = &summary.checkpoints;
    let is_clean = audited.beyond_end.is_empty()
        && audited.is_whole
        && summary.damaged_places == 0
        && checkpoints.iter().all(|checkpoint| checkpoint.content.is_ok());
    Ok(if is_clean {
        Outcome::Clean
    } else {
        Outcome::Findings
    })
}

fn messages(summary: &Summary) -> u64 {
    summary.queues.values().map(|range| range.max - range.min).sum()
}

fn files_size(summary: &Summary) -> u64 {
    summary
        .segments
        .iter()
        .map(|segment| segment.file_size_bytes)
        .sum()
}

fn first_store_ms(summary: &Summary) -> Option<i64> {
    summary.segments.first().and_then(|first| first.first_store_ms)
}

fn print_as_json(summary: &Summary, audited: &Audited) -> Result<()> {
    print_json(&StoreJson {
        segment_size_bytes: summary.segment_size_bytes,
        segments: summary.segments.len(),
        files_size_bytes: files_size(summary),
        first_position: summary.first_position,
        end_position: summary.end_position,
        first_store_ms: first_store_ms(summary),
        last_store_ms: summary.last_store_ms,
        topics: audited.topics,
        queues: summary.queues.len(),
        messages: messages(summary),
        groups: audited.groups,
        offsets: audited.offsets,
        replayed_records: summary.replayed_records,
        damaged_places: summary.damaged_places,
    })?;
    for checkpoint in &summary.checkpoints {
        let content = checkpoint.content.as_ref();
        print_json(&CheckpointJson {
            checkpoint: checkpoint.file.display().to_string(),
            serial: content.map(|content| content.serial).ok(),
            life: content.map(|content| content.epoch).ok(),
            position: content.map(|content| content.position).ok(),
            last_store_ms: content.map(|content| content.last_store_ms).ok(),
            damage: content.err().map(String::as_str),
        })?;
    }
    for ((topic, queue), range) in &summary.queues {
        print_json(&QueueJson {
            topic,
            queue: *queue,
            min: range.min,
            max: range.max,
            messages: range.max - range.min,
        })?;
    }
    for beyond in &audited.beyond_end {
        print_json(&BeyondJson {
            group: &beyond.group,
            topic: &beyond.topic,
            queue: beyond.queue_id,
            offset: beyond.offset,
            end: beyond.end,
        })?;
    }
    Ok(())
}

fn print_for_people(summary: &Summary, audited: &Audited) -> Result<()> {
    let paint = Paint::stdout();
    let now_ms = SystemClock.now_ms();
    let when = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), |ms| ago(ms, now_ms));
    print_line(&format!(
        "{} of {} each, {} on the disk; the log is {} long, from position {} to {}",
        counted(summary.segments.len() as u64, "segment"),
        size(summary.segment_size_bytes),
        size(files_size(summary)),
        size(summary.end_position.saturating_sub(summary.first_position)),
        grouped(summary.first_position),
        grouped(summary.end_position),
    ))?;
    print_line(&format!(
        "the first message is from {}, the last from {}",
        when(first_store_ms(summary)),
        when(summary.last_store_ms),
    ))?;
    print_line(&format!(
        "{}, {}, {} with {}; the next start reads {} again",
        counted(messages(summary), "message"),
        counted(audited.topics as u64, "topic"),
        counted(audited.groups as u64, "group"),
        counted(audited.offsets as u64, "offset"),
        counted(summary.replayed_records, "record"),
    ))?;
    for checkpoint in &summary.checkpoints {
        let file = checkpoint.file.display();
        match &checkpoint.content {
            Ok(content) => print_line(&format!(
                "{file}: number {} of life {}, up to position {}, whose last record is from {}",
                grouped(content.serial),
                content.epoch,
                grouped(content.position),
                when(Some(content.last_store_ms)),
            ))?,
            Err(reason) => print_line(&format!("{}: {file}: {reason}", paint.yellow("damaged")))?,
        }
    }
    if summary.damaged_places > 0 || !audited.is_whole {
        print_line(&format!(
            "{}: behind the newest checkpoint; kourou store verify says where",
            paint.yellow("damaged")
        ))?;
    }
    for beyond in &audited.beyond_end {
        let BeyondEnd {
            group,
            topic,
            queue_id,
            offset,
            end,
        } = beyond;
        print_line(&format!(
            "{}: group {group} goes on at offset {offset} of queue {queue_id} of {topic}, which ends at {end}; kourou group reset sets it back",
            paint.yellow("beyond the end")
        ))?;
    }
    print_topics(summary)
}

/// One row a topic; who wants each queue asks for JSON.
fn print_topics(summary: &Summary) -> Result<()> {
    let mut topics: BTreeMap<&str, (u64, u64, u64, u64)> = BTreeMap::new();
    for ((topic, _), range) in &summary.queues {
        let sums = topics.entry(topic).or_insert((0, u64::MAX, 0, 0));
        sums.0 += 1;
        sums.1 = sums.1.min(range.min);
        sums.2 = sums.2.max(range.max);
        sums.3 += range.max - range.min;
    }
    let mut table = Table::new(&["topic", ">queues", ">from offset", ">to offset", ">messages"]);
    for (topic, (queues, min, max, messages)) in topics {
        table.row([
            topic.to_owned(),
            grouped(queues),
            grouped(min),
            grouped(max),
            grouped(messages),
        ]);
    }
    print_table(&table, "no messages")
}
