//! From a checked send to the log.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use kourou_engine::record::{
    EncodeError, EncodedRecords, INNER_NUM, Limits as RecordLimits, RecordDraft, SYS_FLAG_INNER_BATCH,
    SYS_FLAG_NEED_UNWRAP, SYS_FLAG_TRANSACTION_PREPARED,
};

use memchr::memmem::Finder;

use super::batch;
use super::check::{Checked, Place};
use super::sending::{Call, Waking};
use super::{BatchError, SendDone, SendError, SendReceipt, SendRequest, Sending};
use crate::broker::Broker;
use crate::lite::{self, InFlight};
use crate::name::{self, HALF_TOPIC};
use crate::property::{self, Names, Properties};
use crate::timer::{self, DELAY_LEVEL_MAX, Delay, DelayError, RecallHandle};
use crate::topic::{MessageType, TopicFilterType, TypeRule};

/// Flags of a message that clients decide: compressed, and how.
const SYS_FLAG_OF_CLIENT: i32 = 0x701;
/// Flag of a message: it may have several tags.
const SYS_FLAG_MULTI_TAGS: i32 = 0x2;

/// Begins the names of the properties that say when a message is to be delivered. Made once, as making it costs more than a search.
static TIMED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("TIMER_DEL"));

impl Broker {
    /// Stores a message or a batch. When `done` hears of success it is durable and can be consumed. A topic that is not there
    /// is made first, if it may be.
    pub fn send(
        self: &Arc<Self>,
        request: SendRequest<'_>,
        done: impl FnOnce(Result<SendReceipt, SendError>) + Send + 'static,
    ) {
        self.send_with(request, Sending::new(Call(done)));
    }

    /// The same in the memory of an earlier send. That one's `done` is told again, unless it was changed.
    pub fn send_with<D: SendDone>(self: &Arc<Self>, request: SendRequest<'_>, sending: Box<Sending<D>>) {
        self.send_as(request, sending, Waking::Writer);
    }

    /// As [`Broker::send_with`], for a caller that has more to send: nobody is woken for it. It waits until [`Broker::settle`] or
    /// [`Broker::hand_over`], one of which must follow, or until somebody else stores something.
    pub fn queue_send<D: SendDone>(self: &Arc<Self>, request: SendRequest<'_>, sending: Box<Sending<D>>) {
        self.send_as(request, sending, Waking::Nobody);
    }

    /// Sees to it that queued sends get written: here, which takes as long as one durable write, if they are few and the log is
    /// idle; else by the log's writer. See [`Engine::drive`](kourou_engine::Engine::drive).
    pub fn settle(&self) {
        self.engine.drive();
    }

    /// Has queued sends written by the log's writer.
    pub fn hand_over(&self) {
        self.engine.hand_over();
    }

    fn send_as<D: SendDone>(
        self: &Arc<Self>,
        request: SendRequest<'_>,
        mut sending: Box<Sending<D>>,
        waking: Waking,
    ) {
        sending.begin(request.is_batch, waking);
        let properties = Properties::read(&request.properties);
        sending.trace = self.begin_trace(&request, &properties);
        let checked = self
            .check_send(&request, &properties)
            .and_then(|checked| self.admit_checked(&request, &properties, checked));
        match checked {
            Ok(Checked::Go(place)) if request.is_batch => {
                self.append_send_batch(&request, &properties, &place, sending)
            }
            Ok(Checked::Go(mut place)) => match self.place_lite(&properties, &mut place, &mut sending) {
                Ok(()) => self.append_send(&request, &properties, &place, sending),
                Err(error) => sending.refuse(error),
            },
            Ok(Checked::Make(topic)) => {
                let broker = self.clone();
                let request = request.into_owned();
                self.ensure_topic(topic, move |made| match made {
                    Ok(()) => broker.send_with(request, sending),
                    Err(error) => sending.refuse(error.into()),
                });
            }
            Err(error) => sending.refuse(error),
        }
    }

    /// A message of a lite topic goes to the queue that is the lite topic.
    fn place_lite<D>(
        &self,
        properties: &Properties<'_>,
        place: &mut Place<'_>,
        sending: &mut Sending<D>,
    ) -> Result<(), SendError> {
        let Some(name) = properties.lite_topic else {
            return Ok(());
        };
        let is_lite = MessageType::of(properties) == MessageType::Lite && !place.is_dead;
        if !is_lite || !lite::is_parent(&place.config) {
            return Ok(());
        }
        let name = String::from_utf8_lossy(name);
        lite::check_name(&name)?;
        let in_flight = InFlight::begin(&self.state, &place.config.name, &name).map_err(|full| {
            SendError::TooManyLiteTopics {
                topics_max: full.topics_max,
            }
        })?;
        place.queue_id = in_flight.queue_id();
        sending.lite = Some(in_flight);
        Ok(())
    }

    /// The checks of a send for a reply, which goes to a client before it is stored. Its topic is made if it may be; the queue is
    /// chosen if that is left to the broker.
    pub(crate) fn place_reply(
        self: &Arc<Self>,
        mut request: SendRequest<'static>,
        done: impl FnOnce(Result<(SendRequest<'static>, u32), SendError>) + Send + 'static,
    ) {
        let checked = self
            .check_send(&request, &Properties::read(&request.properties))
            .map(|checked| match checked {
                Checked::Go(place) => Ok(place.queue_id),
                Checked::Make(topic) => Err(topic),
            });
        match checked {
            Ok(Ok(queue_id)) => {
                // There are never 2^31 of them.
                request.queue_id = i32::try_from(queue_id).unwrap_or(i32::MAX);
                done(Ok((request, queue_id)));
            }
            Ok(Err(topic)) => {
                let broker = self.clone();
                self.ensure_topic(topic, move |made| match made {
                    Ok(()) => broker.place_reply(request, done),
                    Err(error) => done(Err(error.into())),
                });
            }
            Err(error) => done(Err(error)),
        }
    }

    /// The checks that look at what the topic is configured for, and at how busy the log is.
    fn admit_checked<'a>(
        &self,
        request: &SendRequest<'_>,
        properties: &Properties<'_>,
        checked: Checked<'a>,
    ) -> Result<Checked<'a>, SendError> {
        if let Checked::Go(place) = &checked {
            let topic = &*place.config;
            if self.options.check_message_types && !topic.attributes.is_empty() {
                topic.check_message_type(MessageType::of(properties), TypeRule::Declared)?;
            }
            let messages = || {
                if request.is_batch {
                    batch::count(&request.body)
                } else {
                    1
                }
            };
            self.admit_send(request, topic, messages)?;
        }
        Ok(checked)
    }

    fn append_send<D: SendDone>(
        self: &Arc<Self>,
        request: &SendRequest<'_>,
        properties: &Properties<'_>,
        place: &Place<'_>,
        mut sending: Box<Sending<D>>,
    ) {
        self.begin_receipt(&mut sending.receipt, place.queue_id);
        let uniq_key = properties.uniq_key.and_then(|key| std::str::from_utf8(key).ok());
        match uniq_key {
            Some(key) => sending.receipt.transaction_id.push_str(key),
            None => self
                .ids
                .push_next(self.clock.now_ms(), &mut sending.receipt.transaction_id),
        }
        match self.encode_send(request, properties, place, &mut sending) {
            Ok(delay) if !place.is_dead && self.is_once(request, properties) => {
                let is_due = delay == Delay::None && properties.timer.deliver_ms.is_some() && !place.is_half;
                if is_due {
                    self.append_once_due(sending);
                } else {
                    self.append_once(sending);
                }
            }
            Ok(_) => sending.append_to(&self.engine),
            Err(error) => sending.refuse(error),
        }
    }

    /// Returns when the message is to be delivered.
    fn encode_send<D>(
        &self,
        request: &SendRequest<'_>,
        properties: &Properties<'_>,
        place: &Place<'_>,
        sending: &mut Sending<D>,
    ) -> Result<Delay, SendError> {
        let delay = self.delay_of_send(properties, place)?;
        let mut without = Names::STAMPED;
        if matches!(delay, Delay::Level(_)) || place.is_dead {
            without = without.and(Names::TIMER).and(Names::TIMER_PAST);
        }
        if delay != Delay::None || place.is_half {
            without = without.and(Names::REAL);
        }
        if properties.priority.is_some() && MessageType::of(properties) != MessageType::Priority {
            without = without.and(Names::PRIORITY);
        }
        let level_changes = place.is_dead || properties.delay_level > DELAY_LEVEL_MAX;
        if level_changes {
            without = without.and(Names::DELAY);
        }
        let text = &mut sending.properties;
        properties.copy_without(without, text);
        text.extend_from_slice(&self.stamp);
        if properties.uniq_key.is_none() {
            property::push(
                text,
                property::UNIQ_KEY,
                sending.receipt.transaction_id.as_bytes(),
            );
        }
        if level_changes {
            let level = if place.is_dead { -1 } else { DELAY_LEVEL_MAX };
            property::push(text, property::DELAY, level.to_string().as_bytes());
        }
        let mut flags = sys_flag(request, place);
        let (topic, queue_id) = if place.is_half {
            self.check_room_for_transaction()
                .map_err(|max_transactions| SendError::TooManyTransactions { max_transactions })?;
            let id = sending.receipt.transaction_id.as_bytes();
            property::push(text, property::TRANSACTION_ID, id);
            if !properties.present.intersects(Names::PGROUP) {
                property::push(text, property::PGROUP, request.producer_group.as_bytes());
            }
            push_real_place(text, place);
            flags |= SYS_FLAG_TRANSACTION_PREPARED;
            if delay != Delay::None {
                // The commit adds when it is due.
                self.check_properties_size(text.len() + timer::DUE_PROPERTY_SIZE_BYTES_MAX)?;
            }
            (Cow::Borrowed(HALF_TOPIC), 0)
        } else if delay != Delay::None {
            self.check_room_for_timer()
                .map_err(|max_timers| SendError::TooManyTimers { max_timers })?;
            push_real_place(text, place);
            if let Delay::Until(due_ms) = delay {
                timer::push_due(text, due_ms);
                self.begin_recall_handle(&mut sending.receipt, place, due_ms);
            }
            let (topic, queue_id) = delay.place();
            (Cow::Borrowed(topic), queue_id)
        } else {
            (Cow::Borrowed(&*place.topic), place.queue_id)
        };
        self.check_properties_size(text.len())?;
        let record = self.draft(request, (&topic, queue_id), flags, text);
        sending
            .records
            .push(&record, &self.record_limits())
            .map_err(SendError::Illegal)?;
        Ok(delay)
    }

    /// When the message is to be delivered. Of a transaction that is for later: the delay begins with the commit.
    fn delay_of_send(&self, properties: &Properties<'_>, place: &Place<'_>) -> Result<Delay, DelayError> {
        let says_when = Names::DELAY.and(Names::TIMER).and(Names::TIMER_DEL);
        if !properties.present.intersects(says_when) || place.is_dead {
            return Ok(Delay::None);
        }
        if properties.present.intersects(Names::TIMER_DEL) {
            return Err(DelayError::Recalls);
        }
        let now_ms = self.clock.now_ms();
        let delay = Delay::of(properties, now_ms)?;
        delay.check(now_ms, self.options.timer_delay_ms_max)?;
        if matches!(delay, Delay::Until(_)) && !self.options.timers {
            return Err(DelayError::NotEnabled);
        }
        Ok(delay)
    }

    /// What the message can be recalled with. One that a consumer tries again is not its producer's any more.
    fn begin_recall_handle(&self, receipt: &mut SendReceipt, place: &Place<'_>, due_ms: i64) {
        if self.options.recall && !name::is_retry_topic(&place.topic) {
            RecallHandle::push(
                &mut receipt.recall_handle,
                &place.topic,
                &self.options.broker_name,
                due_ms,
                &receipt.transaction_id,
            );
        }
    }

    fn append_send_batch<D: SendDone>(
        self: &Arc<Self>,
        request: &SendRequest<'_>,
        properties: &Properties<'_>,
        place: &Place<'_>,
        mut sending: Box<Sending<D>>,
    ) {
        self.begin_receipt(&mut sending.receipt, place.queue_id);
        let uniq_key = properties.uniq_key.and_then(|key| std::str::from_utf8(key).ok());
        sending
            .receipt
            .transaction_id
            .push_str(uniq_key.unwrap_or_default());
        sending.receipt.is_inner_batch = uniq_key.is_some() && place.config.has_batch_queues();
        let encoded = if sending.receipt.is_inner_batch {
            self.encode_inner_batch(request, properties, place, &mut sending)
        } else {
            self.encode_batch(request, place, &mut sending.records)
        };
        match encoded {
            Ok(()) if self.is_once(request, properties) => self.append_once(sending),
            Ok(()) => sending.append_to(&self.engine),
            Err(error) => sending.refuse(error),
        }
    }

    fn encode_batch(
        &self,
        request: &SendRequest<'_>,
        place: &Place<'_>,
        records: &mut EncodedRecords,
    ) -> Result<(), SendError> {
        self.check_batch_size(request)?;
        let record_limits = self.record_limits();
        let flags = sys_flag(request, place);
        for message in self.messages_of_batch(request) {
            let message = message?;
            let record = RecordDraft {
                flag: message.flag,
                body: message.body,
                ..self.draft(request, (&place.topic, place.queue_id), flags, message.properties)
            };
            records
                .push(&record, &record_limits)
                .map_err(SendError::Illegal)?;
        }
        if records.is_empty() {
            return Err(BatchError::Empty.into());
        }
        Ok(())
    }

    /// A batch that stays one record: as it came, with the number of its messages. It takes an offset for each of them, and
    /// consumers take it apart.
    fn encode_inner_batch<D>(
        &self,
        request: &SendRequest<'_>,
        properties: &Properties<'_>,
        place: &Place<'_>,
        sending: &mut Sending<D>,
    ) -> Result<(), SendError> {
        self.check_batch_size(request)?;
        let mut count = 0_u32;
        for message in self.messages_of_batch(request) {
            message?;
            count += 1;
        }
        if count == 0 {
            return Err(BatchError::Empty.into());
        }
        let text = &mut sending.properties;
        properties.copy_without(Names::STAMPED, text);
        text.extend_from_slice(&self.stamp);
        property::push(text, INNER_NUM, count.to_string().as_bytes());
        self.check_properties_size(text.len())?;
        let flags = sys_flag(request, place) | SYS_FLAG_INNER_BATCH | SYS_FLAG_NEED_UNWRAP;
        let record = self.draft(request, (&place.topic, place.queue_id), flags, text);
        sending
            .records
            .push(&record, &self.record_limits())
            .map_err(SendError::Illegal)
    }

    /// The messages of a batch, each checked by itself.
    fn messages_of_batch<'a>(
        &self,
        request: &'a SendRequest<'_>,
    ) -> impl Iterator<Item = Result<batch::BatchMessage<'a>, SendError>> {
        batch::messages(&request.body, self.options.limits.batch_messages_max).map(|message| {
            let message = message?;
            self.check_properties_size(message.properties.len())?;
            self.check_not_timed(message.properties)?;
            Ok(message)
        })
    }

    /// What a send becomes at a topic's queue.
    fn draft<'a>(
        &self,
        request: &'a SendRequest<'_>,
        (topic, queue_id): (&'a str, u32),
        sys_flag: i32,
        properties: &'a [u8],
    ) -> RecordDraft<'a> {
        RecordDraft {
            topic,
            queue_id,
            flag: request.flag,
            sys_flag,
            born_ms: request.born_ms,
            born_host: request.born_host,
            store_host: self.options.store_host,
            reconsume_times: request.reconsume_times,
            prepared_transaction_offset: 0,
            body: &request.body,
            properties,
        }
    }

    fn check_batch_size(&self, request: &SendRequest<'_>) -> Result<(), BatchError> {
        let (size_bytes, max_bytes) = (request.body.len(), self.options.limits.body_size_bytes_max);
        if size_bytes > max_bytes {
            return Err(BatchError::TooLarge {
                size_bytes,
                max_bytes,
            });
        }
        Ok(())
    }

    /// A message of a batch goes where the batch goes, so one that is to wait is refused: it must not come early.
    fn check_not_timed(&self, properties: &[u8]) -> Result<(), BatchError> {
        if TIMED.find(properties).is_none() {
            return Ok(());
        }
        match Delay::of(&Properties::read(properties), self.clock.now_ms()) {
            Ok(Delay::Until(_)) => Err(BatchError::Delayed),
            _ => Ok(()),
        }
    }

    fn check_properties_size(&self, size_bytes: usize) -> Result<(), SendError> {
        let max_bytes = self.options.limits.properties_size_bytes_max;
        if size_bytes > max_bytes {
            return Err(SendError::Illegal(EncodeError::PropertiesTooLarge {
                size_bytes,
                max_bytes,
            }));
        }
        Ok(())
    }

    pub(crate) fn record_limits(&self) -> RecordLimits {
        RecordLimits {
            body_size_bytes_max: self.options.limits.body_size_bytes_max,
        }
    }

    /// What is known before the log has the message.
    fn begin_receipt(&self, receipt: &mut SendReceipt, queue_id: u32) {
        receipt.store_host = self.options.store_host;
        receipt.queue_id = queue_id;
        if !Arc::ptr_eq(&receipt.region, &self.region) {
            receipt.region = self.region.clone();
        }
        receipt.trace_on = self.options.trace_on;
    }
}

/// Where the message goes in the end.
fn push_real_place(text: &mut Vec<u8>, place: &Place<'_>) {
    property::push(text, property::REAL_TOPIC, place.topic.as_bytes());
    property::push(text, property::REAL_QID, place.queue_id.to_string().as_bytes());
}

fn sys_flag(request: &SendRequest<'_>, place: &Place<'_>) -> i32 {
    let multi = if place.config.filter_type == TopicFilterType::MultiTag {
        SYS_FLAG_MULTI_TAGS
    } else {
        0
    };
    request.sys_flag & SYS_FLAG_OF_CLIENT | multi
}
