//! The end of a run: everything that is in the store is read, and compared with everything that is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::Broker;
use kourou_broker::receive::{InlineSubscription, PullOutcome, PullRequest};
use kourou_broker::transaction::Decision;
use kourou_engine::record::RecordView;

use crate::clients::lites::{self, LiteGroup};
use crate::clients::{ClientKind, PullGroup, batches, metered, producer, timers, transactions, urgent};
use crate::ledger::{Known, Ledger, MessageId, MessageKind, Recall, SCRATCH_TOPIC};
use crate::linear;
use crate::message;
use crate::node::Node;
use crate::promise::Promise;
use crate::random::Random;
use crate::scene::Scene;

/// The topics that messages are sent to, with their queues.
const TOPICS: [(&str, i32); 7] = [
    ("orders", producer::QUEUES),
    ("timers", timers::QUEUES),
    ("payments", transactions::QUEUES),
    (batches::TOPIC, batches::QUEUES),
    (batches::INNER_TOPIC, 1),
    ("urgent", urgent::QUEUES),
    (metered::TOPIC, 1),
];

/// The groups that pop and must get everything, with what they pop and who they are.
const POPPING: [(&str, &str, ClientKind); 7] = [
    ("pop-orders", "orders", ClientKind::Popper),
    ("pop-timers", "timers", ClientKind::Popper),
    ("pop-payments", "payments", ClientKind::Popper),
    ("pop-in-order", "orders", ClientKind::Popper),
    ("pop-batches", batches::INNER_TOPIC, ClientKind::Batches),
    ("pop-urgent", "urgent", ClientKind::Urgent),
    (LiteGroup::Answerers.name(), lites::TOPIC, ClientKind::Lites),
];

/// Groups whose dead letters are counted, with how often a message is tried again; none if it is never given up for that.
const BURYING: [(&str, u32); 5] = [
    ("pop-orders", 3),
    ("pop-payments", 4),
    ("pop-batches", 3),
    ("pop-urgent", 3),
    (LiteGroup::Answerers.name(), 1_000),
];

/// What of the queues is not consumed yet by groups that are there; `None` if all is.
pub(crate) fn unconsumed(
    broker: &Arc<Broker>,
    ledger: &Ledger,
    has: impl Fn(ClientKind) -> bool,
) -> Option<String> {
    let pulling = [
        (ClientKind::Puller, PullGroup::Shared),
        (ClientKind::Puller, PullGroup::Tagged),
        (ClientKind::Puller, PullGroup::Sql),
        (ClientKind::Orderly, PullGroup::Orderly),
        (ClientKind::Batches, PullGroup::Batches),
        (ClientKind::Metered, PullGroup::Metered),
    ];
    for (kind, group) in pulling {
        if !has(kind) {
            continue;
        }
        for (topic, queues) in group.topics() {
            for queue_id in 0..*queues as u32 {
                let end = broker.max_offset(topic, queue_id) as i64;
                let at = broker
                    .committed_offset(group.name(), topic, queue_id, false)
                    .unwrap_or(0);
                if at < end {
                    return Some(format!(
                        "{} is at {at} of {end} in {topic}@{queue_id}",
                        group.name()
                    ));
                }
            }
        }
    }
    for (group, topic, kind) in POPPING {
        if !has(kind) {
            continue;
        }
        let placed = ledger
            .messages()
            .iter()
            .filter(|known| known.content.topic == topic);
        for known in placed.filter(|known| is_kept(broker, known)) {
            let id = known.content.id;
            let done = ledger
                .groups
                .message(group, id)
                .is_some_and(|popping| popping.acked || popping.perhaps_acked);
            if !done && !is_dead(broker, group, id) {
                return Some(format!("message {id} is not acknowledged by {group}"));
            }
        }
    }
    None
}

/// Whether a message was seen in its topic and has not expired there.
fn is_kept(broker: &Arc<Broker>, known: &Known) -> bool {
    let mut places = known.places.iter();
    places.any(|place| place.offset >= broker.min_offset(&place.topic, place.queue_id))
}

pub(crate) fn is_dead(broker: &Arc<Broker>, group: &str, id: MessageId) -> bool {
    read_queue(broker, &format!("%DLQ%{group}"), 0)
        .iter()
        .any(|record| id_in(record) == Some(id))
}

fn id_in(record: &Bytes) -> Option<MessageId> {
    message::id_of(RecordView::parse(record).ok()?.body())
}

/// All records of a queue.
fn read_queue(broker: &Arc<Broker>, topic: &str, queue_id: u32) -> Vec<Bytes> {
    let mut records = Vec::new();
    let mut offset = broker.min_offset(topic, queue_id) as i64;
    loop {
        let pull = PullRequest {
            group: "auditors".into(),
            topic: topic.into(),
            queue_id: queue_id as i32,
            offset,
            messages_max: 32,
            commit_offset: None,
            subscription: Some(InlineSubscription::default()),
            sub_version: 0,
        };
        let outcome = match broker.pull(&pull) {
            Ok(PullOutcome::Cold(cold)) => cold.load(),
            outcome => outcome,
        };
        let Ok(PullOutcome::Found(found)) = outcome else {
            return records;
        };
        offset = found.place.next_offset as i64;
        records.extend(found.records);
    }
}

/// All records of a queue, as they are stored: without the broker's rules for who may have them.
fn read_stored(broker: &Arc<Broker>, topic: &str, queue_id: u32) -> Vec<Bytes> {
    let (min, max) = (
        broker.min_offset(topic, queue_id),
        broker.max_offset(topic, queue_id),
    );
    let mut entries = Vec::new();
    let engine = broker.engine();
    engine.entries(topic, queue_id, min, (max - min) as usize, &mut entries);
    let records = entries
        .iter()
        .map(|entry| engine.read(entry.position, entry.size_bytes));
    records.map_while(Result::ok).collect()
}

/// Reads and compares. Whether the history of the watched queue was checked.
pub(crate) fn audit(node: &mut Node, scene: &mut Scene, random: &mut Random) -> bool {
    // What is only in memory is not there.
    node.start_for_audit(scene, random.once_in(2));
    let Some(broker) = node.broker().cloned() else {
        scene.ledger.broken(
            Promise::Opens,
            "there is nothing to audit: the broker does not run",
        );
        return false;
    };
    // Those that look are a group like others.
    let _ = broker.pull(&PullRequest {
        group: "auditors".into(),
        topic: "orders".into(),
        queue_id: 0,
        offset: 0,
        messages_max: 1,
        commit_offset: None,
        subscription: Some(InlineSubscription::default()),
        sub_version: 0,
    });
    broker.engine().pump();
    for (topic, queues) in TOPICS.into_iter().chain([(SCRATCH_TOPIC, 4)]) {
        for queue_id in 0..queues as u32 {
            queue(&broker, &mut scene.ledger, topic, queue_id);
        }
    }
    for lite in 0..lites::LITES {
        lite_topic(&broker, &mut scene.ledger, lite);
    }
    lites_kept(&broker, &mut scene.ledger);
    for (group, retry_times_max) in BURYING {
        dead_letters(&broker, &mut scene.ledger, group, retry_times_max);
    }
    scene.ledger.check_batches();
    let messages: Vec<MessageId> = (0..scene.ledger.messages().len() as MessageId).collect();
    for id in messages {
        check_message(&mut scene.ledger, id);
    }
    order(&mut scene.ledger);
    consumed(&broker, &mut scene.ledger);
    linearizable(scene)
}

/// A queue has no gaps, and holds what it is said to hold.
fn queue(broker: &Arc<Broker>, ledger: &mut Ledger, topic: &str, queue_id: u32) {
    let (min, max) = (
        broker.min_offset(topic, queue_id),
        broker.max_offset(topic, queue_id),
    );
    // Its quota is for others.
    let records = if topic == metered::TOPIC {
        read_stored(broker, topic, queue_id)
    } else {
        read_queue(broker, topic, queue_id)
    };
    let mut expected = min;
    for record in &records {
        let Ok(view) = RecordView::parse(record) else {
            return ledger.broken(
                Promise::NothingWrongIsServed,
                format!("{topic}@{queue_id} holds what is no record"),
            );
        };
        if view.queue_offset() != expected {
            let what = format!(
                "{topic}@{queue_id} has {} where {expected} should be",
                view.queue_offset()
            );
            return ledger.broken(Promise::OrderOfQueues, what);
        }
        expected += u64::from(view.offsets());
        let is_known = if view.is_batch() {
            !ledger.seen_batch(&view).is_empty()
        } else {
            ledger.seen(&view).is_some()
        };
        if !is_known {
            return;
        }
    }
    // A topic that is deleted cannot be read.
    if expected != max && topic != SCRATCH_TOPIC {
        let what = format!("{topic}@{queue_id} goes to {max}, and can be read to {expected}");
        ledger.broken(Promise::AcknowledgedIsDurable, what);
    }
}

/// A lite topic is a queue like others.
fn lite_topic(broker: &Arc<Broker>, ledger: &mut Ledger, lite: u32) {
    let name = message::lite_name(lite);
    let Some(queue_id) = broker.lite_queue(lites::TOPIC, &name) else {
        return;
    };
    let (min, max) = (
        broker.min_offset(lites::TOPIC, queue_id),
        broker.max_offset(lites::TOPIC, queue_id),
    );
    let records = read_stored(broker, lites::TOPIC, queue_id);
    if records.len() as u64 != max - min {
        let what = format!(
            "{name} goes from {min} to {max}, and has {} messages",
            records.len()
        );
        return ledger.broken(Promise::AcknowledgedIsDurable, what);
    }
    for record in records {
        let Ok(view) = RecordView::parse(&record) else {
            return ledger.broken(
                Promise::NothingWrongIsServed,
                format!("{name} holds what is no record"),
            );
        };
        if view.property("__LITE_TOPIC") != Some(&name) || ledger.seen(&view).is_none() {
            let what = format!("{name} holds a message of {:?}", view.property("__LITE_TOPIC"));
            return ledger.broken(Promise::LiteTopics, what);
        }
    }
}

/// Lite topics that ended had no message for as long as their topic says. Where the clock was set nobody can tell how long that was.
fn lites_kept(broker: &Arc<Broker>, ledger: &mut Ledger) {
    if ledger.clock_sets > 0 {
        return;
    }
    // By lite topic and queue, when the last message came that is not shown any more.
    let mut ended: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    for known in ledger.messages() {
        if let (MessageKind::Lite { lite, .. }, Some(stored)) = (known.content.kind, &known.stored)
            && stored.position >= ledger.expired_below
            && stored.offset < broker.min_offset(lites::TOPIC, stored.queue_id)
        {
            let last_ms = ended.entry((lite, stored.queue_id)).or_default();
            *last_ms = (*last_ms).max(known.first_ms);
        }
    }
    let expires_ms = if ledger.lites.expire {
        lites::EXPIRATION_MS
    } else {
        i64::MAX
    };
    let too_soon = ended
        .into_iter()
        .find(|(_, last_ms)| ledger.clock_max_ms < last_ms.saturating_add(expires_ms));
    if let Some(((lite, queue_id), last_ms)) = too_soon {
        let what = format!(
            "{} in queue {queue_id} has ended, and had a message {} ms before the end of the run",
            message::lite_name(lite),
            ledger.clock_max_ms - last_ms
        );
        ledger.broken(Promise::LiteTopics, what);
    }
}

/// What a group gave up is among its dead letters.
fn dead_letters(broker: &Arc<Broker>, ledger: &mut Ledger, group: &str, retry_times_max: u32) {
    let topic = format!("%DLQ%{group}");
    // Some may have expired.
    if broker.min_offset(&topic, 0) > 0 {
        return;
    }
    let mut dead = Vec::new();
    for record in read_queue(broker, &topic, 0) {
        let Ok(view) = RecordView::parse(&record) else {
            return ledger.broken(
                Promise::NothingWrongIsServed,
                format!("{topic} holds what is no record"),
            );
        };
        let Some(id) = ledger.seen(&view) else { return };
        if let MessageKind::Lite { lite, .. } = ledger.message(id).content.kind
            && view.property("__LITE_TOPIC") != Some(&message::lite_name(lite))
        {
            let what = format!("message {id} is among the dead letters without its lite topic");
            return ledger.broken(Promise::DeadLetters, what);
        }
        dead.push(id);
    }
    ledger.check_dead(group, &dead, retry_times_max);
}

/// What was said of a message is so.
fn check_message(ledger: &mut Ledger, id: MessageId) {
    let known = ledger.message(id).clone();
    let count = known.places.len();
    if known.content.topic == SCRATCH_TOPIC {
        return;
    }
    // What expired before anybody saw it is not missed: it was kept for as long as was said.
    let has_expired = ledger.expired_below > 0;
    let is_stored = known
        .stored
        .as_ref()
        .is_some_and(|stored| stored.position >= ledger.expired_below);
    let broken: Option<(Promise, &str)> = match known.content.kind {
        MessageKind::Timer { .. } | MessageKind::Level(_) => match known.recall {
            Recall::No if is_stored && count == 0 && !has_expired => {
                Some((Promise::Timers, "was acknowledged, is due, and was not delivered"))
            }
            Recall::Done if count > 0 && !known.forgotten => {
                Some((Promise::Timers, "was recalled and delivered"))
            }
            _ => None,
        },
        MessageKind::Half { .. } => match known.ended {
            Some(Decision::Commit) if count == 0 => {
                Some((Promise::Transactions, "was committed and is nowhere"))
            }
            Some(Decision::Rollback) if count > 0 => {
                Some((Promise::Transactions, "was rolled back and is visible"))
            }
            _ => None,
        },
        _ => (is_stored && count == 0)
            .then_some((Promise::AcknowledgedIsDurable, "was acknowledged and is nowhere")),
    };
    if let Some((promise, what)) = broken {
        ledger.broken(promise, format!("message {id} {what}: {known:?}"));
    }
}

type Sent = (u64, u32, MessageId);

/// Lite topics have lanes of their own.
const LITE_LANES: usize = 1_000;

/// What a producer sends one after the other lies so.
fn order(ledger: &mut Ledger) {
    // By producer and queue: offset, number, message.
    let mut lanes: BTreeMap<(usize, u32), Vec<Sent>> = BTreeMap::new();
    for known in ledger.messages() {
        let (producer, sequence) = match known.content.kind {
            MessageKind::Ordered { producer, sequence } => (producer, sequence),
            MessageKind::Lite { lite, sequence } => (LITE_LANES + lite as usize, sequence),
            _ => continue,
        };
        // A retry that came too late may lie behind others.
        if known.forgotten {
            continue;
        }
        for place in &known.places {
            let lane = lanes.entry((producer, place.queue_id)).or_default();
            lane.push((place.offset, sequence, known.content.id));
        }
    }
    for (lane, mut messages) in lanes {
        messages.sort_unstable();
        if let Some(pair) = messages.windows(2).find(|pair| pair[0].1 > pair[1].1) {
            let what = format!(
                "producer {} sent message {} after {}, and it lies before it",
                lane.0, pair[0].2, pair[1].2
            );
            return ledger.broken(Promise::OrderOfQueues, what);
        }
    }
}

/// Every group got everything.
fn consumed(broker: &Arc<Broker>, ledger: &mut Ledger) {
    for group in [
        PullGroup::Shared,
        PullGroup::Tagged,
        PullGroup::Sql,
        PullGroup::Orderly,
        PullGroup::Batches,
        PullGroup::Metered,
    ] {
        // Groups that did not take part have received nothing.
        let took_part = ledger
            .messages()
            .iter()
            .any(|known| ledger.was_received(group.name(), known.content.id));
        if !took_part {
            continue;
        }
        let missed = ledger.messages().iter().find(|known| {
            let is_theirs = group
                .topics()
                .iter()
                .any(|(topic, _)| *topic == known.content.topic);
            let is_there = is_kept(broker, known) && group.wants(&known.content);
            is_theirs && is_there && !ledger.was_received(group.name(), known.content.id)
        });
        let Some(id) = missed.map(|known| known.content.id) else {
            continue;
        };
        // It may have been given up.
        if !is_dead(broker, group.name(), id) {
            let what = format!("message {id} was never received by {}", group.name());
            return ledger.broken(Promise::Progress, what);
        }
    }
}

fn linearizable(scene: &mut Scene) -> bool {
    let ledger = &scene.ledger;
    let finally = |id: MessageId| {
        let places = &ledger.message(id).places;
        places
            .iter()
            .find(|place| place.topic == linear::TOPIC && place.queue_id == 0)
            .map(|place| place.offset)
    };
    // What is stored twice has two places, and the checker knows one.
    if ledger.messages().iter().any(|known| known.forgotten) {
        return false;
    }
    match scene.linear.check(finally) {
        Some(true) => true,
        Some(false) => {
            let what = "no order of what clients did explains what they were told".to_owned();
            scene.ledger.broken(Promise::Linearizable, what);
            true
        }
        None => false,
    }
}
