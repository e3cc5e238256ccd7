//! The checks of a send-back, and the record it becomes.

use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::record::{EncodedRecord, RecordView};

use super::{SendBackError, SendBackRequest};
use crate::again::AGAIN_LIMITS;
use crate::broker::Broker;
use crate::client::SYS_FLAG_UNIT_SUBSCRIBED;
use crate::delivery::GroupQueueKey;
use crate::name::{self, SCHEDULE_TOPIC};
use crate::property::{self, Names, Properties};
use crate::send::offset_msg_id;
use crate::timer::DELAY_LEVEL_MAX;
use crate::topic::{TopicConfig, perm};
use crate::trace::Outcome;

/// Queues of a dead-letter topic.
const DLQ_QUEUES: u32 = 1;
/// The delay level of a first retry when the consumer does not choose one.
const FIRST_LEVEL: i32 = 3;

type Done = Box<dyn FnOnce(Result<(), SendBackError>) + Send>;

/// What the checks came to.
enum Checked {
    /// The group drops what it cannot consume.
    Drop,
    /// This topic must be made first. The message has been read.
    Make(TopicConfig, Bytes),
    /// This record stores the message again.
    Append {
        record: EncodedRecord,
        /// Topic, queue and offset of the message, if that is traced.
        from: Option<(Box<str>, u32, u64)>,
    },
}

impl Broker {
    /// Stores a message again for a consumer group: in its retry topic after a delay or, tried often enough, in its dead-letter
    /// topic. When `done` hears of success it is durable.
    ///
    /// May block on the disk, if the message is no longer in memory.
    pub fn send_back(
        self: &Arc<Self>,
        request: SendBackRequest,
        done: impl FnOnce(Result<(), SendBackError>) + Send + 'static,
    ) {
        self.send_back_origin(request, None, done);
    }

    /// `origin` is the message, if it has been read already: what goes on when a topic has been made runs on the log's writer
    /// thread and must not touch the disk.
    fn send_back_origin(
        self: &Arc<Self>,
        request: SendBackRequest,
        origin: Option<Bytes>,
        done: impl FnOnce(Result<(), SendBackError>) + Send + 'static,
    ) {
        match self.check_send_back(&request, origin) {
            Ok(Checked::Drop) => done(Ok(())),
            Ok(Checked::Append { record, from }) => {
                let broker = self.clone();
                self.engine.append(record, move |appended| {
                    if let (Ok(_), Some((topic, queue_id, offset))) = (&appended, from) {
                        let key = GroupQueueKey {
                            group: &request.group,
                            topic: &topic,
                            queue_id,
                        };
                        broker.trace_ended(key, [offset], Outcome::Failed);
                    }
                    done(appended.map(|_| ()).map_err(SendBackError::Store));
                });
            }
            Ok(Checked::Make(config, origin)) => {
                let broker = self.clone();
                let topic = config.name.clone();
                let done: Done = Box::new(done);
                self.ensure_topic(config, move |made| match made {
                    Ok(()) => broker.send_back_origin(request, Some(origin), done),
                    Err(source) => {
                        done(Err(SendBackError::TopicNotCreated {
                            topic: topic.to_string(),
                            source,
                        }));
                    }
                });
            }
            Err(error) => done(Err(error)),
        }
    }

    fn check_send_back(
        &self,
        request: &SendBackRequest,
        origin: Option<Bytes>,
    ) -> Result<Checked, SendBackError> {
        let Some(group) = self.group_in_use(&request.group) else {
            return Err(SendBackError::GroupNotExist {
                group: request.group.clone(),
            });
        };
        if !perm::is_writable(self.options.perm) {
            return Err(SendBackError::BrokerNotWritable {
                broker: self.options.store_host,
            });
        }
        let retry_queues = u32::try_from(group.retry_queues).unwrap_or(0);
        if retry_queues == 0 {
            return Ok(Checked::Drop);
        }
        let position = request.position;
        let read = || self.record_at(u64::try_from(position).ok()?).ok();
        let bytes = origin.or_else(read).ok_or(SendBackError::NotFound { position })?;
        let origin = RecordView::parse(&bytes).map_err(|_| SendBackError::NotFound { position })?;

        let retry_topic = name::retry_topic(&request.group);
        let Some(config) = self.state.topics.get(&retry_topic) else {
            let sys_flag = if request.unit_mode {
                SYS_FLAG_UNIT_SUBSCRIBED
            } else {
                0
            };
            let config = TopicConfig {
                sys_flag,
                ..TopicConfig::new(retry_topic, retry_queues)
            };
            return Ok(Checked::Make(config, bytes.clone()));
        };
        if !perm::is_writable(config.perm) {
            return Err(SendBackError::TopicNotWritable { topic: retry_topic });
        }
        let times_max = request.reconsume_times_max.unwrap_or(group.retry_times_max);
        if origin.reconsume_times() >= times_max || request.delay_level < 0 {
            let dlq_topic = name::dlq_topic(&request.group);
            if !self.state.topics.contains(&dlq_topic) {
                return Ok(Checked::Make(
                    TopicConfig::new(dlq_topic, DLQ_QUEUES),
                    bytes.clone(),
                ));
            }
            return self.to_append(&origin, &dlq_topic, 0, 0);
        }
        let level = if request.delay_level == 0 {
            FIRST_LEVEL.saturating_add(origin.reconsume_times())
        } else {
            request.delay_level
        };
        let queue_id = self.choose_queue(retry_queues);
        self.to_append(&origin, &retry_topic, queue_id, level.clamp(1, DELAY_LEVEL_MAX))
    }

    fn to_append(
        &self,
        origin: &RecordView<'_>,
        topic: &str,
        queue_id: u32,
        level: i32,
    ) -> Result<Checked, SendBackError> {
        let from = || (origin.topic().into(), origin.queue_id(), origin.queue_offset());
        Ok(Checked::Append {
            record: self.again(origin, topic, queue_id, level)?,
            from: self.traces.is_some().then(from),
        })
    }

    /// The message again: under `topic`, after the delay of `level` if that is not 0.
    fn again(
        &self,
        origin: &RecordView<'_>,
        topic: &str,
        queue_id: u32,
        level: i32,
    ) -> Result<EncodedRecord, SendBackError> {
        let properties = Properties::read(origin.properties());
        let without = Names::DELAY
            .and(Names::ORIGIN_MESSAGE_ID)
            .and(Names::TIMER)
            .and(Names::REAL)
            .and(Names::POP_CK);
        let mut text = Vec::new();
        properties.copy_without(without, &mut text);
        if properties.retry_topic.is_none() {
            property::push(&mut text, property::RETRY_TOPIC, origin.topic().as_bytes());
        }
        match properties.origin_message_id {
            Some(id) => property::push(&mut text, property::ORIGIN_MESSAGE_ID, id),
            None => {
                let id = offset_msg_id(origin.store_host(), origin.position());
                property::push(&mut text, property::ORIGIN_MESSAGE_ID, id.as_bytes());
            }
        }
        property::push(&mut text, property::DELAY, level.to_string().as_bytes());
        let (stored_topic, stored_queue) = if level > 0 {
            self.check_room_for_timer()
                .map_err(|max_timers| SendBackError::TooManyTimers { max_timers })?;
            property::push(&mut text, property::REAL_TOPIC, topic.as_bytes());
            property::push(&mut text, property::REAL_QID, queue_id.to_string().as_bytes());
            (SCHEDULE_TOPIC, (level - 1) as u32)
        } else {
            (topic, queue_id)
        };
        let mut record = self.stored_again(origin, stored_topic, stored_queue, &text);
        record.reconsume_times = record.reconsume_times.saturating_add(1);
        // It ends nothing.
        record.prepared_transaction_offset = 0;
        record
            .encode_within(&AGAIN_LIMITS)
            .map_err(SendBackError::Illegal)
    }
}
