//! Messages that were handed out, on their way to the client.

use std::sync::Arc;
use std::vec;

use kourou_broker::delivery::{Handle, Popped, PoppedMessage};
use kourou_broker::{Broker, Text};
use kourou_engine::record::RecordView;

use crate::limits::receive;
use crate::message::{Given, Receipt, delivered};
use crate::renewal::Renewals;
use crate::wire::v2::{Message, Resource};

/// Messages that were handed out. Unless all of them have been told, to the end, they come again soon, to anybody: the client that asked
/// for them is gone, or has given up.
#[derive(Debug)]
pub(super) struct Handout {
    broker: Arc<Broker>,
    group: Text,
    topic: Text,
    shown_topic: Resource,
    renewed_for: Option<Arc<str>>,
    left: vec::IntoIter<One>,
    /// Those that were told, while others are left, and which attempt each is.
    told: Vec<(Handle, u32)>,
    is_over: bool,
}

#[derive(Debug)]
struct One {
    receipt: Receipt,
    message: PoppedMessage,
}

impl Handout {
    /// `None` if nothing is left to hand out: in order a message that was tried too often is a dead letter instead. Elsewhere it is
    /// one already.
    pub(super) fn new(broker: Arc<Broker>, group: Text, topic: Text, popped: Popped) -> Option<Self> {
        let Popped {
            pop_ms,
            invisible_ms,
            ordered,
            queues,
            ..
        } = popped;
        let retries_max = broker.group(&group).map_or(0, |config| config.retry_times_max);
        let retries_max = u32::try_from(retries_max).unwrap_or(0);
        let mut left = Vec::new();
        for queue in queues {
            let stored_in = Text::from(&*queue.topic);
            left.extend(queue.messages.into_iter().map(|message| {
                let handle = Handle {
                    group: group.clone(),
                    topic: stored_in.clone(),
                    queue_id: i32::try_from(queue.queue_id).unwrap_or(i32::MAX),
                    offset: i64::try_from(message.offset).unwrap_or(i64::MAX),
                    pop_ms,
                    invisible_ms,
                    ordered,
                };
                let receipt = Receipt {
                    handle,
                    retry: queue.retry,
                    position: RecordView::parse(&message.record).map_or(0, |record| record.position()),
                };
                One { receipt, message }
            }));
        }
        if ordered {
            left.retain(|one: &One| {
                let is_alive = one.message.times <= retries_max;
                if !is_alive {
                    bury(&broker, one);
                }
                is_alive
            });
        }
        if left.is_empty() {
            return None;
        }
        Some(Self {
            broker,
            group,
            topic,
            shown_topic: Resource::default(),
            renewed_for: None,
            told: Vec::with_capacity(left.len()),
            left: left.into_iter(),
            is_over: false,
        })
    }

    /// `topic` is how the client has named it; the messages are renewed for as long as that client is there, if one is named.
    pub(super) fn asked_as(mut self, topic: Resource, renewed_for: Option<Arc<str>>) -> Self {
        self.shown_topic = topic;
        self.renewed_for = renewed_for;
        self
    }

    /// The next message, as the client gets it.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        loop {
            let One { receipt, message } = self.left.next()?;
            if let Some(shown) = self.shown(&receipt, &message) {
                let system = shown.system_properties.as_ref();
                let attempt = system.and_then(|system| system.delivery_attempt);
                let attempt = attempt.and_then(|attempt| u32::try_from(attempt).ok());
                self.told.push((receipt.handle, attempt.unwrap_or(1)));
                return Some(shown);
            }
        }
    }

    /// All was told, and the end of it.
    pub(super) fn is_told(&mut self, renewals: &Renewals) {
        self.is_over = true;
        if let Some(client_id) = &self.renewed_for {
            for (handle, attempt) in self.told.drain(..) {
                renewals.keep(client_id, handle, attempt);
            }
        }
    }

    fn shown(&self, receipt: &Receipt, popped: &PoppedMessage) -> Option<Message> {
        let handle = &receipt.handle;
        let mut message = match delivered(&popped.record) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(
                    group = %handle.group, topic = %handle.topic, queue_id = handle.queue_id, offset = handle.offset, %error,
                    "a stored message cannot be shown to its consumer; it is tried again when its time is over"
                );
                return None;
            }
        };
        let given = Given {
            group: &self.group,
            topic: &self.topic,
            broker_name: &self.broker.options().broker_name,
        };
        // A message out of a retry topic is one of the topic that was asked for.
        message.topic = Some(self.shown_topic.clone());
        let system = message.system_properties.get_or_insert_default();
        system.receipt_handle = Some(given.write(receipt));
        if handle.ordered {
            let times = i32::try_from(popped.times).unwrap_or(i32::MAX);
            system.delivery_attempt = Some(times.saturating_add(1));
        }
        Some(message)
    }
}

fn bury(broker: &Arc<Broker>, one: &One) {
    let record = Some(one.message.record.clone());
    broker.bury(&one.receipt.handle, record, |buried| {
        if let Err(error) = buried {
            // When its time is over it is tried again.
            tracing::warn!(%error, "a message that was tried too often is not a dead letter yet");
        }
    });
}

impl Drop for Handout {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let told = self.told.drain(..).map(|(handle, _)| handle);
        let left = self.left.by_ref().map(|one| one.receipt.handle);
        for handle in told.chain(left) {
            // Its handle stays good: somebody may have it after all.
            self.broker.renew(&handle, receive::UNDELIVERED_MS, |renewed| {
                if let Err(error) = renewed {
                    // It comes again all the same, when the time is over that it was handed out for.
                    tracing::debug!(%error, "a message that did not reach its consumer waits for longer");
                }
            });
        }
    }
}
