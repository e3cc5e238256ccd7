//! The end of a run: everything that is in the store is read, and compared with everything that is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::Broker;
use kourou_broker::receive::{InlineSubscription, PullOutcome, PullRequest};
use kourou_broker::transaction::Decision;
use kourou_engine::record::RecordView;

use crate::clients::{ClientKind, PullGroup, producer, timers, transactions};
use crate::ledger::{Known, Ledger, MessageId, MessageKind, Recall, SCRATCH_TOPIC};
use crate::linear;
use crate::node::Node;
use crate::promise::Promise;
use crate::random::Random;
use crate::scene::Scene;

/// The topics that messages are sent to, with their queues.
const TOPICS: [(&str, i32); 3] = [
    ("orders", producer::QUEUES),
    ("timers", timers::QUEUES),
    ("payments", transactions::QUEUES),
];

/// The groups that pop, with what they pop.
const POPPING: [(&str, &str); 4] = [
    ("pop-orders", "orders"),
    ("pop-timers", "timers"),
    ("pop-payments", "payments"),
    ("pop-in-order", "orders"),
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
    if !has(ClientKind::Popper) {
        return None;
    }
    for (group, topic) in POPPING {
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

fn is_dead(broker: &Arc<Broker>, group: &str, id: MessageId) -> bool {
    read_queue(broker, &format!("%DLQ%{group}"), 0)
        .iter()
        .any(|record| id_in(record) == Some(id))
}

fn id_in(record: &Bytes) -> Option<MessageId> {
    crate::message::id_of(RecordView::parse(record).ok()?.body())
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
    let messages: Vec<MessageId> = (0..scene.ledger.messages().len() as MessageId).collect();
    for id in messages {
        message(&mut scene.ledger, id);
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
    let records = read_queue(broker, topic, queue_id);
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
        expected += 1;
        if ledger.seen(&view).is_none() {
            return;
        }
    }
    // A topic that is deleted cannot be read.
    if expected != max && topic != SCRATCH_TOPIC {
        let what = format!("{topic}@{queue_id} goes to {max}, and can be read to {expected}");
        ledger.broken(Promise::AcknowledgedIsDurable, what);
    }
}

/// What was said of a message is so.
fn message(ledger: &mut Ledger, id: MessageId) {
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
        MessageKind::Plain | MessageKind::Ordered { .. } => (is_stored && count == 0)
            .then_some((Promise::AcknowledgedIsDurable, "was acknowledged and is nowhere")),
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
    };
    if let Some((promise, what)) = broken {
        ledger.broken(promise, format!("message {id} {what}: {known:?}"));
    }
}

type Sent = (u64, u32, MessageId);

/// What a producer sends one after the other lies so.
fn order(ledger: &mut Ledger) {
    // By producer and queue: offset, number, message.
    let mut lanes: BTreeMap<(usize, u32), Vec<Sent>> = BTreeMap::new();
    for known in ledger.messages() {
        let MessageKind::Ordered { producer, sequence } = known.content.kind else {
            continue;
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
