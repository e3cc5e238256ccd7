//! Consumes as push consumers do beneath: pulls each queue, is held when there is nothing, commits how far it is, and sends
//! back what it could not consume. In order it first gets a lock on each queue.

use std::collections::BTreeMap;

use kourou_broker::QueueName;
use kourou_broker::client::{ConsumerData, HeartbeatData, SubscriptionData};
use kourou_broker::receive::PullRequest;
use kourou_broker::send_back::SendBackRequest;
use kourou_engine::record::{RecordView, tags_code};

use super::{BEAT_MS, Client, Context, PATIENCE_MS, batches, metered, producer, transactions};
use crate::ledger::{Content, Ledger};
use crate::promise::Promise;
use crate::wire::{Reply, Request, RequestId};
use crate::{batch, message};

const BEAT: u32 = 0;
/// From here on, a step of the queue whose number is above this.
const STEP: u32 = 16;
const HOLD_MS: i64 = 12_000;
/// A client keeps its lock half as long as the broker does.
const LOCK_MS: i64 = 30_000;
const PULL_OFFSET_MOVED: i32 = 21;
/// No offset was told.
const UNTOLD: i64 = -1;

/// The groups that pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullGroup {
    /// Two members share the queues.
    Shared,
    /// One member, and it wants one tag.
    Tagged,
    /// One member, and it says in SQL what it wants.
    Sql,
    /// Two members, and one at a time has a queue.
    Orderly,
    /// Somebody sets its offsets.
    Reset,
    /// One member, which takes batches apart.
    Batches,
    /// One member, of a topic that gives only so much a second.
    Metered,
}

impl PullGroup {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "pull-shared",
            Self::Tagged => "pull-tagged",
            Self::Sql => "pull-sql",
            Self::Orderly => "pull-orderly",
            Self::Reset => "pull-reset",
            Self::Batches => "pull-batches",
            Self::Metered => "pull-metered",
        }
    }

    /// Its topics, with their queues.
    pub const fn topics(self) -> &'static [(&'static str, i32)] {
        match self {
            Self::Shared => &[
                ("orders", producer::QUEUES),
                ("payments", transactions::QUEUES),
                ("%RETRY%pull-shared", 1),
            ],
            Self::Tagged | Self::Sql | Self::Orderly | Self::Reset => &[("orders", producer::QUEUES)],
            Self::Metered => &[(metered::TOPIC, 1)],
            Self::Batches => &[(batches::TOPIC, batches::QUEUES), (batches::INNER_TOPIC, 1)],
        }
    }

    /// Whether it is to receive a message.
    pub(crate) fn wants(self, content: &Content) -> bool {
        match self {
            Self::Tagged => content.tag == "a",
            // As SQL has it: and binds closer than or.
            Self::Sql => {
                let weighs =
                    (content.weight() > 4 && content.tag != "a") || (1..=2).contains(&content.weight());
                weighs && !content.key().contains("77") && !content.key().ends_with("13")
            }
            _ => true,
        }
    }

    /// What it subscribes to: the language, and the expression.
    const fn expression(self) -> (&'static str, &'static str) {
        match self {
            Self::Tagged => ("TAG", "a"),
            Self::Sql => ("SQL92", SQL),
            _ => ("TAG", "*"),
        }
    }
}

/// What of it is always true says the same in another way.
const SQL: &str = "(weight > 4 AND TAGS <> 'a' OR weight BETWEEN 1 AND 2) AND NOT (KEYS CONTAINS '77') \
                   AND KEYS STARTSWITH 'key' AND KEYS NOT ENDSWITH '13' AND (colour IS NULL OR FALSE) AND KEYS IS NOT NULL \
                   AND TAGS IN ('b', 'a', 's') AND TAGS NOT IN ('x') AND weight NOT BETWEEN -5 AND -1 AND weight <= 9.5 \
                   AND weight >= 0 AND +1 < 2 AND TRUE AND (-weight <= 0 OR TRUE)";

#[derive(Debug)]
enum Asked {
    Lock,
    Offset,
    Pull,
    SendBack,
    Commit,
}

#[derive(Debug)]
struct Queue {
    topic: &'static str,
    queue_id: i32,
    /// Where to go on; `None` before that is known.
    offset: Option<i64>,
    /// What the broker was told of that lately; clients tell it again and again, since it may forget what it was told last.
    committed: i64,
    asked: Option<RequestId>,
    /// Until when it has the queue to itself.
    locked_until_ms: i64,
    /// Positions of messages to be sent back before going on.
    failed: Vec<u64>,
}

/// A member of a group that pulls.
#[derive(Debug)]
pub(super) struct Puller {
    group: PullGroup,
    member: i32,
    queues: Vec<Queue>,
    asked: BTreeMap<RequestId, (usize, Asked)>,
}

impl Puller {
    /// A member of a group, by its number there.
    pub(super) fn new(group: PullGroup, member: i32) -> Self {
        Self {
            group,
            member,
            queues: Vec::new(),
            asked: BTreeMap::new(),
        }
    }

    fn client_id(&self) -> String {
        format!("{}-{}", self.group.name(), self.member)
    }

    fn beat(&self, context: &mut Context<'_>) {
        let topics = self.group.topics();
        let subscriptions = topics.iter().map(|(topic, _)| {
            let (language, expression) = self.group.expression();
            let tags: &[&str] = if self.group == PullGroup::Tagged {
                &["a"]
            } else {
                &[]
            };
            SubscriptionData {
                topic: (*topic).to_owned(),
                expression: expression.to_owned(),
                expression_type: language.to_owned(),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                codes: tags.iter().map(|tag| tags_code(tag) as i32).collect(),
                class_filter_mode: false,
                version: 1,
            }
        });
        let data = HeartbeatData {
            client_id: self.client_id(),
            consumers: vec![ConsumerData {
                group: self.group.name().to_owned(),
                subscriptions: subscriptions.collect(),
                ..ConsumerData::default()
            }],
            ..HeartbeatData::default()
        };
        context.ask(Request::Beat(data), PATIENCE_MS);
    }

    fn ask(
        &mut self,
        at: usize,
        asked: Asked,
        request: Request,
        patience_ms: i64,
        context: &mut Context<'_>,
    ) {
        let id = context.ask(request, patience_ms);
        self.queues[at].asked = Some(id);
        self.asked.insert(id, (at, asked));
    }

    /// The next thing to do for a queue.
    fn step(&mut self, at: usize, context: &mut Context<'_>) {
        let now_ms = context.scene.now_ms;
        let group = self.group.name();
        let queue = &mut self.queues[at];
        if queue.asked.is_some() {
            return;
        }
        let topic = queue.topic;
        if self.group == PullGroup::Orderly && now_ms >= queue.locked_until_ms - LOCK_MS / 3 {
            let request = Request::Lock {
                group: group.into(),
                client_id: self.client_id(),
                queues: vec![QueueName {
                    topic: topic.into(),
                    queue_id: self.queues[at].queue_id as u32,
                }],
            };
            return self.ask(at, Asked::Lock, request, PATIENCE_MS, context);
        }
        if let Some(position) = queue.failed.last() {
            let back = SendBackRequest {
                group: group.into(),
                position: *position as i64,
                delay_level: 0,
                reconsume_times_max: None,
                unit_mode: false,
            };
            return self.ask(at, Asked::SendBack, Request::SendBack(back), PATIENCE_MS, context);
        }
        let Some(offset) = queue.offset else {
            let request = Request::Committed {
                group: group.into(),
                topic: topic.into(),
                queue_id: queue.queue_id as u32,
            };
            return self.ask(at, Asked::Offset, request, PATIENCE_MS, context);
        };
        if queue.committed != offset {
            let request = Request::Commit {
                group: group.into(),
                topic: topic.into(),
                queue_id: queue.queue_id,
                offset,
            };
            return self.ask(at, Asked::Commit, request, PATIENCE_MS, context);
        }
        let pull = PullRequest {
            group: group.into(),
            topic: topic.into(),
            queue_id: queue.queue_id,
            offset,
            messages_max: context.random.between(1, 32) as i32,
            commit_offset: None,
            subscription: None,
            sub_version: 1,
        };
        let hold_ms = if context.is_draining() {
            3 * HOLD_MS
        } else {
            HOLD_MS
        };
        self.ask(
            at,
            Asked::Pull,
            Request::Pull { pull, hold_ms },
            hold_ms + PATIENCE_MS,
            context,
        );
    }

    fn later(&mut self, at: usize, context: &mut Context<'_>) {
        // When everybody finishes, who waits for a lock need not ask so often.
        let longest_ms = if context.is_draining() { 20_000 } else { 2_000 };
        let after_ms = context.random.between(100, longest_ms);
        context.remind(after_ms, STEP + at as u32);
    }

    fn received(&mut self, at: usize, records: &[bytes::Bytes], next_offset: i64, context: &mut Context<'_>) {
        let group = self.group.name();
        let may_fail = self.group == PullGroup::Shared && !context.is_draining();
        for record in records {
            let Ok(view) = RecordView::parse(record) else {
                continue;
            };
            if view.is_batch() {
                for id in batch::messages(view.body())
                    .iter()
                    .filter_map(|inner| message::id_of(inner.body))
                {
                    context.scene.ledger.received(group, id);
                }
                continue;
            }
            let Some(id) = message::id_of(view.body()) else {
                continue;
            };
            if may_fail && context.random.once_in(8) {
                self.queues[at].failed.push(view.position());
            } else {
                context.scene.ledger.received(group, id);
            }
            if !self.group.wants(&context.scene.ledger.message(id).content) {
                let what = format!("{group} is given message {id}, which it does not want");
                context.scene.ledger.broken(Promise::NothingWrongIsServed, what);
            }
        }
        self.queues[at].offset = Some(next_offset);
    }
}

impl Client for Puller {
    fn begins(&mut self, context: &mut Context<'_>) {
        self.asked.clear();
        let mut number = 0;
        self.queues.clear();
        for (topic, queues) in self.group.topics() {
            for queue_id in 0..*queues {
                // The queues of a shared group go round; the others are everybody's.
                let ours = self.group != PullGroup::Shared || number % 2 == self.member;
                number += 1;
                if ours {
                    self.queues.push(Queue {
                        topic,
                        queue_id,
                        offset: None,
                        committed: 0,
                        asked: None,
                        locked_until_ms: 0,
                        failed: Vec::new(),
                    });
                }
            }
        }
        self.beat(context);
        context.remind(BEAT_MS, BEAT);
        for at in 0..self.queues.len() {
            context.remind(5, STEP + at as u32);
        }
    }

    fn reminded(&mut self, what: u32, context: &mut Context<'_>) {
        if what == BEAT {
            self.beat(context);
            return context.remind(BEAT_MS, BEAT);
        }
        self.step((what - STEP) as usize, context);
    }

    fn answered(&mut self, id: RequestId, reply: Reply, context: &mut Context<'_>) {
        let Some((at, asked)) = self.asked.remove(&id) else {
            return;
        };
        self.queues[at].asked = None;
        if matches!(
            (&asked, &reply),
            (Asked::Pull, Reply::Nothing { .. } | Reply::Lost)
        ) {
            self.queues[at].committed = UNTOLD;
        }
        match (asked, reply) {
            (Asked::Lock, Reply::Locked(locked)) if locked == [true] => {
                let queue = &mut self.queues[at];
                if context.scene.now_ms >= queue.locked_until_ms {
                    // Somebody else may have had it.
                    queue.offset = None;
                }
                queue.locked_until_ms = context.scene.now_ms + LOCK_MS;
                self.step(at, context);
            }
            (Asked::Offset, Reply::Committed(offset)) => {
                let offset = offset.unwrap_or(0);
                self.queues[at].offset = Some(offset);
                self.queues[at].committed = offset;
                self.step(at, context);
            }
            (Asked::Pull, Reply::Pulled { records, place }) => {
                let orderly = self.group == PullGroup::Orderly;
                if orderly && context.scene.now_ms >= self.queues[at].locked_until_ms {
                    return self.step(at, context);
                }
                self.received(at, &records, place.next_offset as i64, context);
                self.step(at, context);
            }
            (Asked::Pull, Reply::Nothing { code, place }) => {
                if code == PULL_OFFSET_MOVED || place.next_offset as i64 > self.queues[at].offset.unwrap_or(0)
                {
                    self.queues[at].offset = Some(place.next_offset as i64);
                }
                self.step(at, context);
            }
            (Asked::Pull, Reply::Refused { .. }) => {
                self.beat(context);
                self.later(at, context);
            }
            (Asked::SendBack, Reply::Done) => {
                self.queues[at].failed.pop();
                self.step(at, context);
            }
            // It has expired: nobody can have it again.
            (Asked::SendBack, Reply::Refused { text, .. })
                if text.starts_with("look message by offset failed") =>
            {
                self.queues[at].failed.pop();
                self.step(at, context);
            }
            (Asked::Commit, Reply::Done) => {
                let queue = &mut self.queues[at];
                queue.committed = queue.offset.unwrap_or(queue.committed);
                self.step(at, context);
            }
            _ => self.later(at, context),
        }
    }

    fn has_finished(&self, _ledger: &Ledger) -> bool {
        self.queues.iter().all(|queue| queue.failed.is_empty())
    }
}
