//! A send that is tried again is stored once.
//!
//! A producer that hears nothing sends the message again with the unique key that it had. Such a send is answered with the place of
//! the first, if that is what its record holds: topic, body, flag and properties are the same. If the first is still on its way
//! the second waits for its end; should it fail, the second is stored itself.
//!
//! A message for a time is stored under the topic of those that wait. Tried again when its time has come, it waits no more, and is
//! looked for there first.
//!
//! Not meant are: sends without a unique key of the client's, sends to retry and dead-letter topics and messages that have been
//! consumed before (a consumer that sends back keeps the key), and messages that carry the marks of a broker, which somebody has
//! received and sends on. `docs/retried-sends.md` says it for users.

use std::sync::Arc;

use kourou_engine::planted::{self, Bug};
use kourou_engine::record::{EncodedRecords, KeyHash, RecordView};

use super::recent::{Begun, Waiter};
use super::sending::Sending;
use super::{SendDone, SendRequest};
use crate::broker::Broker;
use crate::name::{self, TIMER_TOPIC};
use crate::property::{self, Names, Properties, REAL_QID, REAL_TOPIC, TIMER_OUT_MS, UNIQ_KEY};

impl Broker {
    /// How many sends are remembered, see [`BrokerOptions::retried_send_ids_max`](crate::BrokerOptions::retried_send_ids_max).
    pub fn sends_remembered(&self) -> usize {
        self.state.recent.len()
    }

    /// Whether a retry of this send can be told, and is to be stored once.
    pub(super) fn is_once(&self, request: &SendRequest<'_>, properties: &Properties<'_>) -> bool {
        self.state.recent.is_on()
            && !planted::is(Bug::StoresRetriesAgain)
            && (properties.uniq_key.is_some() || request.is_batch)
            && request.reconsume_times == 0
            && !properties.present.intersects(Names::STAMPED)
            && !name::is_retry_topic(&request.topic)
            && !name::is_dlq_topic(&request.topic)
    }

    /// Appends the records of a send, unless they have been before.
    pub(super) fn append_once<D: SendDone>(self: &Arc<Self>, mut sending: Box<Sending<D>>) {
        let Some(id) = sending.records.first_unique_key() else {
            return sending.append_to(&self.engine);
        };
        match self.state.recent.begin(id) {
            Begun::New => {
                sending.track(id, &self.state.recent);
                sending.append_to(&self.engine);
            }
            Begun::Stored(position) => self.answer_again(sending, id, position),
            Begun::OnItsWay => {
                let broker = Arc::clone(self);
                let waiter: Waiter = Box::new(move |position| match position {
                    Some(position) => broker.answer_again(sending, id, position),
                    None => {
                        let mut sending = sending;
                        // Whoever queued it has seen to the others meanwhile.
                        sending.wake_writer();
                        broker.append_once(sending);
                    }
                });
                if let Err(waiter) = self.state.recent.wait(id, waiter) {
                    // It has ended meanwhile; ask again.
                    waiter(None);
                }
            }
        }
    }

    /// As [`Broker::append_once`], for a message whose time has come: at its first try it may have been one that waits.
    pub(super) fn append_once_due<D: SendDone>(self: &Arc<Self>, sending: Box<Sending<D>>) {
        let key =
            |record: RecordView<'_>| Some(KeyHash::new(TIMER_TOPIC, record.property(UNIQ_KEY)?.as_bytes()));
        let Some(id) = sending.records.views().next().and_then(key) else {
            return self.append_once(sending);
        };
        match self.state.recent.find(id) {
            Some(Begun::Stored(position)) => self.answer_due(sending, position),
            Some(Begun::OnItsWay) => {
                let broker = Arc::clone(self);
                let waiter: Waiter = Box::new(move |position| {
                    let mut sending = sending;
                    sending.wake_writer();
                    match position {
                        Some(position) => broker.answer_due(sending, position),
                        None => broker.append_once(sending),
                    }
                });
                if let Err(waiter) = self.state.recent.wait(id, waiter) {
                    // It has ended meanwhile: stored, or not.
                    let position = match self.state.recent.find(id) {
                        Some(Begun::Stored(position)) => Some(position),
                        _ => None,
                    };
                    waiter(position);
                }
            }
            _ => self.append_once(sending),
        }
    }

    /// Answers with the place where the message has waited for its time, or goes on if another did.
    fn answer_due<D: SendDone>(self: &Arc<Self>, sending: Box<Sending<D>>, position: u64) {
        match self.places_of(&sending.records, position) {
            Some(places) => {
                tracing::debug!(
                    position,
                    "a send that was tried again when its time had come is answered with its first place"
                );
                sending.answer(&places);
            }
            None => self.append_once(sending),
        }
    }

    /// Answers with the place of the first send, or stores this one if it is another message.
    fn answer_again<D: SendDone>(self: &Arc<Self>, mut sending: Box<Sending<D>>, id: KeyHash, position: u64) {
        if let Some(places) = self.places_of(&sending.records, position) {
            tracing::debug!(
                position,
                "a send that was tried again is answered with its first place"
            );
            self.recall_first(&mut sending, &places);
            return sending.answer(&places);
        }
        if self.state.recent.replace(id) {
            sending.track(id, &self.state.recent);
        }
        sending.wake_writer();
        sending.append_to(&self.engine);
    }

    /// A delay that counts from the send has another end by now: what recalls the message is made of the first one's.
    fn recall_first<D>(&self, sending: &mut Sending<D>, places: &[Place]) {
        let due_ms = places.first().and_then(|place| place.due_ms);
        if let Some(due_ms) = due_ms {
            sending.recall_at(&self.options.broker_name, due_ms);
        }
    }

    /// Where the messages are that lie one behind the other from `position` on, if they are those of a send. Reads from the disk what
    /// is no longer in memory.
    fn places_of(&self, records: &EncodedRecords, position: u64) -> Option<Vec<Place>> {
        let now_ms = self.clock.now_ms();
        let mut position = position;
        let mut places = Vec::with_capacity(records.len());
        for again in records.views() {
            let bytes = self.engine.read_at(position).ok()?;
            let first = RecordView::parse(&bytes).ok()?;
            if !self.state.recent.is_recent(first.store_ms(), now_ms) || !is_same(&first, &again) {
                return None;
            }
            places.push(Place {
                position,
                queue_id: queue_id(&first),
                queue_offset: first.queue_offset(),
                due_ms: first.property(TIMER_OUT_MS).and_then(|ms| ms.parse().ok()),
            });
            position += u64::from(first.size_bytes());
        }
        Some(places)
    }
}

/// Where a message of a send is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) queue_id: u32,
    pub(super) queue_offset: u64,
    /// When it is to be delivered, if it waits for that.
    pub(super) due_ms: Option<i64>,
}

/// The queue that the sender of a message was told.
fn queue_id(record: &RecordView<'_>) -> u32 {
    let waits = !name::is_sendable(record.topic());
    let real = waits.then(|| record.property(REAL_QID)?.parse().ok()).flatten();
    real.unwrap_or_else(|| record.queue_id())
}

/// Properties that a client or its tracer makes anew when it sends a message again, or that say where it was to go.
const NEW_EACH_TIME: [&[u8]; 9] = [
    b"REAL_QID",
    b"TIMER_OUT_MS",
    b"traceparent",
    b"tracestate",
    b"baggage",
    b"b3",
    b"uber-trace-id",
    b"sw8",
    b"sw8-correlation",
];

/// Whether two records are the same message, sent twice. The queue may be another: clients choose anew when they try again.
fn is_same(first: &RecordView<'_>, again: &RecordView<'_>) -> bool {
    // Its time has come between the two.
    let has_waited = first.topic() == TIMER_TOPIC && again.topic() != TIMER_TOPIC;
    let topic = if has_waited {
        first.property(REAL_TOPIC).unwrap_or_default()
    } else {
        first.topic()
    };
    topic == again.topic()
        && first.body() == again.body()
        && first.flag() == again.flag()
        && have_same_properties(first.properties(), again.properties(), has_waited)
        // The queue of the schedule topic is the delay.
        && (first.topic() != name::SCHEDULE_TOPIC || first.queue_id() == again.queue_id())
}

/// In any order: Go's client writes them in a new one each time. The topic that one who waits is for is told by a property.
fn have_same_properties(first: &[u8], again: &[u8], first_has_waited: bool) -> bool {
    let kept = |text| {
        let mut kept: Vec<_> = property::entries(text)
            .filter(|(name, _)| !NEW_EACH_TIME.contains(name))
            .filter(|(name, _)| !first_has_waited || *name != REAL_TOPIC.as_bytes())
            .collect();
        kept.sort_unstable();
        kept
    };
    first == again || kept(first) == kept(again)
}
