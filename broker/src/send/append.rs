//! From a checked send to the log.

use std::borrow::Cow;
use std::sync::Arc;

use kourou_engine::record::{EncodeError, EncodedRecord, Limits as RecordLimits, RecordDraft};

use super::batch;
use super::check::{Checked, Place};
use super::{BatchError, SendError, SendReceipt, SendRequest};
use crate::broker::Broker;
use crate::name::SCHEDULE_TOPIC;
use crate::property::{self, Names, Properties};
use crate::text::Text;
use crate::timer::DELAY_LEVEL_MAX;
use crate::topic::TopicFilterType;

/// Flags of a message that clients decide: compressed, and how.
const SYS_FLAG_OF_CLIENT: i32 = 0x701;
/// Flag of a message: it may have several tags.
const SYS_FLAG_MULTI_TAGS: i32 = 0x2;
/// Room for what the broker adds to the properties beside the stamp.
const EXTRA_PROPERTIES_SIZE_BYTES: usize = 64;

impl Broker {
    /// Stores a message or a batch. When `done` hears of success it is durable and can be consumed. A topic that is not there
    /// is made first, if it may be.
    pub fn send(
        self: &Arc<Self>,
        request: SendRequest,
        done: impl FnOnce(Result<SendReceipt, SendError>) + Send + 'static,
    ) {
        let properties = Properties::read(&request.properties);
        match self.check_send(&request, &properties) {
            Ok(Checked::Go(place)) if request.is_batch => {
                self.append_send_batch(&request, &properties, &place, done)
            }
            Ok(Checked::Go(place)) => self.append_send(&request, &properties, &place, done),
            Ok(Checked::Make(topic)) => {
                let broker = self.clone();
                self.ensure_topic(topic, move |made| match made {
                    Ok(()) => broker.send_again(request, Box::new(done)),
                    Err(error) => done(Err(error.into())),
                });
            }
            Err(error) => done(Err(error)),
        }
    }

    /// Runs the checks anew now that a topic has been made; a boxed callback, so that this may happen more than once.
    fn send_again(self: &Arc<Self>, request: SendRequest, done: Done) {
        self.send(request, done);
    }

    fn append_send(
        self: &Arc<Self>,
        request: &SendRequest,
        properties: &Properties<'_>,
        place: &Place<'_>,
        done: impl FnOnce(Result<SendReceipt, SendError>) + Send + 'static,
    ) {
        let uniq_key = self.uniq_key_of(request, properties);
        let encoded = match self.encode_send(request, properties, place, &uniq_key) {
            Ok(encoded) => encoded,
            Err(error) => return done(Err(error)),
        };
        let mut receipt = self.receipt(place.queue_id, Some(uniq_key));
        self.engine.append(encoded, move |appended| {
            done(match appended {
                Ok(appended) => {
                    receipt.position = appended.position;
                    receipt.queue_offset = appended.queue_offset;
                    Ok(receipt)
                }
                Err(error) => Err(SendError::Store(error)),
            });
        });
    }

    fn uniq_key_of(&self, request: &SendRequest, properties: &Properties<'_>) -> Text {
        let given = properties.uniq_key.map(|key| request.properties.slice_ref(key));
        let given = given.and_then(|key| Text::from_utf8(key).ok());
        given.unwrap_or_else(|| self.ids.next(self.clock.now_ms()))
    }

    fn encode_send(
        &self,
        request: &SendRequest,
        properties: &Properties<'_>,
        place: &Place<'_>,
        uniq_key: &Text,
    ) -> Result<EncodedRecord, SendError> {
        let delay_level = if place.is_dead {
            0
        } else {
            properties.delay_level.clamp(0, DELAY_LEVEL_MAX)
        };
        if delay_level == 0 && properties.present.intersects(Names::TIMER) {
            return Err(SendError::TimerNotEnabled);
        }

        let mut without = Names::STAMPED;
        if delay_level > 0 {
            without = without.and(Names::TIMER).and(Names::REAL);
        }
        let level_changes = place.is_dead || properties.delay_level > DELAY_LEVEL_MAX;
        if level_changes {
            without = without.and(Names::DELAY);
        }
        let room = self.stamp.len() + uniq_key.len() + place.topic.len() + EXTRA_PROPERTIES_SIZE_BYTES;
        let mut text = properties.copy_without(without, room);
        text.extend_from_slice(&self.stamp);
        if properties.uniq_key.is_none() {
            property::push(&mut text, property::UNIQ_KEY, uniq_key.as_bytes());
        }
        if level_changes {
            let level = if place.is_dead { -1 } else { DELAY_LEVEL_MAX };
            property::push(&mut text, property::DELAY, level.to_string().as_bytes());
        }
        let (topic, queue_id) = if delay_level > 0 {
            self.check_room_for_timer()
                .map_err(|max_timers| SendError::TooManyTimers { max_timers })?;
            let real_queue = place.queue_id.to_string();
            property::push(&mut text, property::REAL_TOPIC, place.topic.as_bytes());
            property::push(&mut text, property::REAL_QID, real_queue.as_bytes());
            (Cow::Borrowed(SCHEDULE_TOPIC), (delay_level - 1) as u32)
        } else {
            (Cow::Borrowed(&*place.topic), place.queue_id)
        };
        self.check_properties_size(text.len())?;
        let record = RecordDraft {
            topic: &topic,
            queue_id,
            flag: request.flag,
            sys_flag: sys_flag(request, place),
            born_ms: request.born_ms,
            born_host: request.born_host,
            store_host: self.options.store_host,
            reconsume_times: request.reconsume_times,
            prepared_transaction_offset: 0,
            body: &request.body,
            properties: &text,
        };
        record
            .encode_within(&self.record_limits())
            .map_err(SendError::Illegal)
    }

    fn append_send_batch(
        self: &Arc<Self>,
        request: &SendRequest,
        properties: &Properties<'_>,
        place: &Place<'_>,
        done: impl FnOnce(Result<SendReceipt, SendError>) + Send + 'static,
    ) {
        let records = match self.encode_batch(request, place) {
            Ok(records) => records,
            Err(error) => return done(Err(error)),
        };
        let uniq_key = properties.uniq_key.map(|key| request.properties.slice_ref(key));
        let mut receipt = self.receipt(place.queue_id, uniq_key.and_then(|key| Text::from_utf8(key).ok()));
        self.engine.append_batch(records, move |appended| {
            done(match appended {
                Ok(appended) => {
                    if let Some(first) = appended.first() {
                        receipt.position = first.position;
                        receipt.queue_offset = first.queue_offset;
                    }
                    receipt.batch_positions = appended.into_iter().map(|one| one.position).collect();
                    Ok(receipt)
                }
                Err(error) => Err(SendError::Store(error)),
            });
        });
    }

    fn encode_batch(
        &self,
        request: &SendRequest,
        place: &Place<'_>,
    ) -> Result<Vec<EncodedRecord>, SendError> {
        let limits = &self.options.limits;
        if request.body.len() > limits.body_size_bytes_max {
            let (size_bytes, max_bytes) = (request.body.len(), limits.body_size_bytes_max);
            return Err(BatchError::TooLarge {
                size_bytes,
                max_bytes,
            }
            .into());
        }
        let record_limits = self.record_limits();
        let messages = batch::parse(&request.body, limits.batch_messages_max)?;
        let encode = |message: batch::BatchMessage<'_>| {
            self.check_properties_size(message.properties.len())?;
            let record = RecordDraft {
                topic: &place.topic,
                queue_id: place.queue_id,
                flag: message.flag,
                sys_flag: sys_flag(request, place),
                born_ms: request.born_ms,
                born_host: request.born_host,
                store_host: self.options.store_host,
                reconsume_times: request.reconsume_times,
                prepared_transaction_offset: 0,
                body: message.body,
                properties: message.properties,
            };
            record.encode_within(&record_limits).map_err(SendError::Illegal)
        };
        messages.into_iter().map(encode).collect()
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

    /// A receipt without what only the log knows.
    fn receipt(&self, queue_id: u32, transaction_id: Option<Text>) -> SendReceipt {
        SendReceipt {
            store_host: self.options.store_host,
            position: 0,
            batch_positions: Vec::new(),
            queue_id,
            queue_offset: 0,
            transaction_id,
            region: self.region.clone(),
            trace_on: self.options.trace_on,
        }
    }
}

type Done = Box<dyn FnOnce(Result<SendReceipt, SendError>) + Send>;

fn sys_flag(request: &SendRequest, place: &Place<'_>) -> i32 {
    let multi = if place.config.filter_type == TopicFilterType::MultiTag {
        SYS_FLAG_MULTI_TAGS
    } else {
        0
    };
    request.sys_flag & SYS_FLAG_OF_CLIENT | multi
}
