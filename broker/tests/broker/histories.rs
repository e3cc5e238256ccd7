//! Random histories with power cuts: what the broker says afterwards is what a simple model says.

use std::collections::BTreeMap;

use kourou_broker::client::HeartbeatData;
use kourou_broker::receive::{PullOutcome, PullRequest};
use kourou_broker::send::{SendReceipt, SendRequest};
use kourou_broker::transaction::{Decision, EndTransaction, TransactionError};
use kourou_broker::{RecallError, RecallRequest};
use proptest::prelude::*;

use crate::rig::{Channel, Rig, heartbeat, message, properties, pull_tagged, text, views};

#[derive(Debug, Clone)]
enum Step {
    Send {
        topic: u8,
        queue_id: u8,
        tag: u8,
        delay: Delay,
        is_half: bool,
    },
    /// Takes back one of the messages for a time that there are or were.
    Recall {
        which: u8,
        /// Or loses power before that is on the disk.
        is_cut: bool,
    },
    /// Delivers what is due, and loses power before that is on the disk.
    DeliverCut,
    /// Ends one of the transactions that there are or were.
    End {
        which: u8,
        is_commit: bool,
        /// Or with another decision behind it, while the first is on its way.
        twice: bool,
    },
    Check,
    Commit {
        queue_id: u8,
        offset: u8,
        answered: bool,
    },
    Tick,
    Pass {
        ms: u16,
    },
    Deliver,
    PowerCut,
    Restart,
}

/// What a message says of when it is to be delivered.
#[derive(Debug, Clone, Copy)]
enum Delay {
    None,
    Level(u8),
    /// So many milliseconds after it was taken, or committed.
    Ms(u16),
}

impl Delay {
    /// When a message is due that is taken now; nothing if that is at once.
    fn due_ms(self, now_ms: i64) -> Option<i64> {
        match self {
            Self::None | Self::Ms(0) => None,
            Self::Level(level) => Some(now_ms + kourou_broker::DELAY_LEVELS_MS[usize::from(level) - 1]),
            Self::Ms(ms) => Some(now_ms + i64::from(ms)),
        }
    }
}

fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        3 => Just(Delay::None),
        1 => (1_u8..4).prop_map(Delay::Level),
        3 => (0_u16..9_000).prop_map(Delay::Ms),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..2, 0_u8..3, 0_u8..3, delay(), prop::bool::weighted(0.3))
            .prop_map(|(topic, queue_id, tag, delay, is_half)| {
                Step::Send { topic, queue_id, tag, delay, is_half }
            }),
        4 => (any::<u8>(), prop::bool::weighted(0.2)).prop_map(|(which, is_cut)| Step::Recall { which, is_cut }),
        1 => Just(Step::DeliverCut),
        4 => (any::<u8>(), any::<bool>(), any::<bool>())
            .prop_map(|(which, is_commit, twice)| Step::End { which, is_commit, twice }),
        2 => Just(Step::Check),
        4 => (0_u8..3, any::<u8>(), any::<bool>())
            .prop_map(|(queue_id, offset, answered)| Step::Commit { queue_id, offset, answered }),
        2 => Just(Step::Tick),
        3 => (0_u16..6_000).prop_map(|ms| Step::Pass { ms }),
        3 => Just(Step::Deliver),
        1 => Just(Step::PowerCut),
        1 => Just(Step::Restart),
    ]
}

/// Due time, number, topic and queue, body and tag.
type Timer = (i64, usize, (u8, u8), (String, u8));

/// A message that was sent as half of a transaction.
struct Half {
    receipt: SendReceipt,
    queue: (u8, u8),
    message: (String, u8),
    delay: Delay,
    ended: Option<Decision>,
}

/// What should be there.
#[derive(Default)]
struct Model {
    halves: Vec<Half>,
    /// Bodies and tags by topic and queue, in order.
    queues: BTreeMap<(u8, u8), Vec<(String, u8)>>,
    timers: Vec<Timer>,
    /// What recalls each message for a time, when that is, and its number among the timers.
    recalls: Vec<(RecallRequest, i64, usize)>,
    /// Offsets that queries see, and those that a power cut leaves.
    live: BTreeMap<u8, i64>,
    durable: BTreeMap<u8, i64>,
    sent: usize,
    /// Timers so far.
    stored: usize,
}

fn topic(topic: u8) -> &'static str {
    if topic == 0 { "even" } else { "odd" }
}

impl Model {
    fn deliver(&mut self, now_ms: i64) {
        self.timers.sort();
        while self.timers.first().is_some_and(|(due_ms, ..)| *due_ms <= now_ms) {
            let (_, _, queue, message) = self.timers.remove(0);
            self.queues.entry(queue).or_default().push(message);
        }
    }

    /// A message becomes visible, now or later.
    fn show(&mut self, queue: (u8, u8), message: (String, u8), due_ms: Option<i64>) {
        match due_ms {
            None => self.queues.entry(queue).or_default().push(message),
            Some(due_ms) => {
                // In the order in which they were stored under their delay, not in that in which they were sent.
                self.stored += 1;
                self.timers.push((due_ms, self.stored, queue, message));
            }
        }
    }

    fn recall(&mut self, rig: &Rig, which: u8) {
        if self.recalls.is_empty() {
            return;
        }
        let (request, due_ms, number) = &self.recalls[usize::from(which) % self.recalls.len()];
        let waits = self.timers.iter().position(|(_, timer, ..)| timer == number);
        match (rig.wait(|done| rig.broker.recall(request, done)), waits) {
            (Err(RecallError::Due { .. }), _) => assert!(*due_ms <= rig.now_ms()),
            (Ok(_), Some(at)) => {
                assert!(*due_ms > rig.now_ms());
                self.timers.remove(at);
            }
            (Err(RecallError::NotWaiting), None) => {}
            (answer, waits) => panic!("{answer:?}, and it waits: {waits:?}"),
        }
    }

    fn end(&mut self, rig: &Rig, which: u8, decision: Decision, twice: bool) {
        if self.halves.is_empty() {
            return;
        }
        let at = usize::from(which) % self.halves.len();
        let half = &self.halves[at];
        let end = EndTransaction {
            group: "producers".into(),
            position: half.receipt.position as i64,
            queue_offset: half.receipt.queue_offset as i64,
            decision,
            from_check: true,
        };
        let ended = rig.wait::<Result<(), TransactionError>>(|done| {
            rig.broker.end_transaction(&end, done);
            if twice {
                let other = match decision {
                    Decision::Commit => Decision::Rollback,
                    Decision::Rollback => Decision::Commit,
                };
                let other = EndTransaction {
                    decision: other,
                    ..end.clone()
                };
                rig.broker.end_transaction(&other, |_| {});
            }
        });
        match (half.ended, ended) {
            (None, Ok(())) => {
                self.halves[at].ended = Some(decision);
                if decision == Decision::Commit {
                    let half = &self.halves[at];
                    let (queue, message) = (half.queue, half.message.clone());
                    let due_ms = half.delay.due_ms(rig.now_ms());
                    self.show(queue, message, due_ms);
                }
            }
            (Some(before), Ok(())) => assert_eq!(before, decision),
            (Some(before), Err(TransactionError::Ended { outcome, .. })) => {
                assert_ne!(before, decision);
                assert_eq!(outcome, before.into());
            }
            (Some(_), Err(TransactionError::NotPending { .. })) => {}
            (before, answer) => panic!("after {before:?} {decision:?} was answered {answer:?}"),
        }
    }

    fn check(&self, rig: &Rig) {
        let pending = self.halves.iter().filter(|half| half.ended.is_none()).count();
        assert_eq!(rig.broker.transactions_pending(), pending);
        assert_eq!(rig.broker.timers_pending(), self.timers.len());
        for queue_id in 0..3 {
            let offset = rig.broker.committed_offset("g", "even", queue_id.into(), false);
            assert_eq!(
                offset,
                self.live.get(&queue_id).copied(),
                "offset of queue {queue_id}"
            );
        }
        for ((topic_no, queue_id), messages) in &self.queues {
            for tag in 0..3_u8 {
                let wanted = messages
                    .iter()
                    .filter(|message| message.1 == tag)
                    .map(|message| message.0.clone());
                let found = consume(rig, topic(*topic_no), *queue_id, tag);
                assert_eq!(
                    found,
                    wanted.collect::<Vec<_>>(),
                    "{} {queue_id} tag {tag}",
                    topic(*topic_no)
                );
            }
        }
    }
}

fn consume(rig: &Rig, topic: &str, queue_id: u8, tag: u8) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut request = PullRequest {
        queue_id: queue_id.into(),
        messages_max: 3,
        ..pull_tagged(topic, 0, &format!("t{tag}"))
    };
    loop {
        let outcome = match rig.broker.pull(&request).unwrap() {
            PullOutcome::Cold(cold) => cold.load().unwrap(),
            other => other,
        };
        match outcome {
            PullOutcome::Found(pulled) => {
                bodies.extend(views(&pulled).iter().map(|view| text(view.body())));
                request.offset = pulled.place.next_offset as i64;
            }
            PullOutcome::Empty(empty) if empty.code == kourou_broker::code::PULL_RETRY_IMMEDIATELY => {
                request.offset = empty.place.next_offset as i64;
            }
            PullOutcome::Empty(_) => return bodies,
            PullOutcome::Cold(_) => panic!("cold twice"),
        }
    }
}

fn start(rig: &Rig) {
    let data = HeartbeatData {
        producer_groups: vec!["producers".to_owned()],
        ..heartbeat("c", "g", &[])
    };
    rig.beat(&Channel::new(1), &data);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn as_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        let mut rig = Rig::with(|options, engine| {
            options.limits.pull_scan_entries_max = 4;
            options.transaction_timeout_ms = 1_000;
            options.transaction_check_interval_ms = 500;
            options.transaction_checks_max = 1_000;
            engine.segment_size_bytes = 64 << 10;
        });
        let mut model = Model::default();
        start(&rig);
        for name in ["even", "odd"] {
            rig.wait(|done| rig.broker.put_topic(kourou_broker::topic::TopicConfig::new(name, 3), done)).unwrap();
        }
        for step in steps {
            match step {
                Step::Send { topic: topic_no, queue_id, tag, delay, is_half } => {
                    model.sent += 1;
                    let body = format!("{:04}{}", model.sent, "x".repeat(model.sent * 37 % 2_000));
                    let tag_text = format!("t{tag}");
                    let (delayed, value) = match delay {
                        Delay::None => ("none", 0),
                        Delay::Level(level) => ("DELAY", level.into()),
                        Delay::Ms(ms) => ("TIMER_DELAY_MS", ms),
                    };
                    let request = SendRequest {
                        queue_id: queue_id.into(),
                        properties: properties(&[
                            ("TAGS", &tag_text),
                            (delayed, &value.to_string()),
                            ("TRAN_MSG", if is_half { "true" } else { "false" }),
                        ]),
                        ..message(topic(topic_no), &body)
                    };
                    let receipt = rig.send(request).unwrap();
                    let (queue, message) = ((topic_no, queue_id), (body, tag));
                    if is_half {
                        model.halves.push(Half { receipt, queue, message, delay, ended: None });
                        continue;
                    }
                    let due_ms = delay.due_ms(rig.now_ms());
                    model.show(queue, message, due_ms);
                    let is_recallable = matches!(delay, Delay::Ms(_)) && due_ms.is_some();
                    assert_eq!(is_recallable, !receipt.recall_handle.is_empty());
                    if let (true, Some(due_ms)) = (is_recallable, due_ms) {
                        let request = RecallRequest { topic: topic(topic_no).to_owned(), handle: receipt.recall_handle };
                        model.recalls.push((request, due_ms, model.stored));
                    }
                }
                Step::Recall { which, is_cut: false } => model.recall(&rig, which),
                Step::Recall { which, is_cut: true } => {
                    if let Some((request, ..)) = model.recalls.get(usize::from(which) % model.recalls.len().max(1)) {
                        rig.broker.recall(request, |recalled| assert!(recalled.is_err(), "it was not on the disk"));
                    }
                    rig = rig.power_cut();
                    start(&rig);
                    model.live = model.durable.clone();
                }
                Step::DeliverCut => {
                    rig.broker.deliver_due();
                    rig = rig.power_cut();
                    start(&rig);
                    model.live = model.durable.clone();
                }
                Step::End { which, is_commit, twice } => {
                    let decision = if is_commit { Decision::Commit } else { Decision::Rollback };
                    model.end(&rig, which, decision, twice);
                }
                Step::Check => {
                    rig.broker.check_transactions();
                    rig.pump();
                }
                Step::Commit { queue_id, offset, answered } => {
                    let (group, topic) = ("g".into(), "even".into());
                    let (queue, offset) = (i32::from(queue_id), i64::from(offset));
                    model.live.insert(queue_id, offset);
                    if answered {
                        rig.wait(|done| rig.broker.commit_offset_durably(&group, &topic, queue, offset, done)).unwrap();
                        model.durable.insert(queue_id, offset);
                    } else {
                        rig.broker.commit_offset(&group, &topic, queue, offset).unwrap();
                    }
                }
                Step::Tick => {
                    rig.clock.advance(1_000);
                    rig.broker.tick();
                    rig.pump();
                    model.durable = model.live.clone();
                }
                Step::Pass { ms } => {
                    rig.clock.advance(ms.into());
                }
                Step::Deliver => {
                    rig.deliver();
                    model.deliver(rig.now_ms());
                }
                Step::PowerCut => {
                    rig = rig.power_cut();
                    start(&rig);
                    model.live = model.durable.clone();
                }
                Step::Restart => {
                    rig = rig.restart();
                    start(&rig);
                    model.durable = model.live.clone();
                }
            }
        }
        model.check(&rig);
        let rig = rig.power_cut();
        model.live = model.durable.clone();
        rig.deliver();
        model.deliver(rig.now_ms());
        model.check(&rig);
    }
}
