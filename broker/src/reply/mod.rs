//! Replies: the answer to a message goes straight to the client that has sent it, on its own connection.
//!
//! ```text
//!  requester --send, REPLY_TO_CLIENT = its client id--> broker --pull--> responder
//!  requester <--pushed, and answered-- broker <--send reply-- responder
//! ```
//!
//! The broker that gets the reply must be the one that the requester is connected to as a producer; requesters send their
//! heartbeats to all brokers. A reply may be stored as well, for people to look at later; nobody consumes it.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::client::{Answer, AskError, Question, QuestionKind};
use crate::code;
use crate::property;
use crate::send::{SendError, SendReceipt, SendRequest};

/// How long the requester may take to accept a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a reply.
#[derive(Debug)]
pub struct ReplyReceipt {
    /// Whether the requester has it; else why not, for people.
    pub pushed: Result<(), String>,
    /// Where it is stored, durably, if it is.
    pub stored: Option<SendReceipt>,
    /// The queue it was sent to.
    pub queue_id: u32,
    /// The broker's region.
    pub region: Arc<str>,
    /// Whether the client should trace.
    pub trace_on: bool,
}

impl Broker {
    /// Gives a reply to the client that waits for it and, if [`crate::BrokerOptions::store_replies`] says so, stores it. That it
    /// cannot be stored does not matter to those two, and is logged.
    ///
    /// `done` hears of an error only if the reply is none that may be sent; then nothing has been done.
    pub fn reply(
        self: &Arc<Self>,
        request: SendRequest<'_>,
        done: impl FnOnce(Result<ReplyReceipt, SendError>) + Send + 'static,
    ) {
        let broker = self.clone();
        self.place_reply(request.into_owned(), move |placed| match placed {
            Ok((request, queue_id)) => broker.push_reply(request, queue_id, done),
            Err(error) => done(Err(error)),
        });
    }

    fn push_reply(
        self: &Arc<Self>,
        request: SendRequest<'static>,
        queue_id: u32,
        done: impl FnOnce(Result<ReplyReceipt, SendError>) + Send + 'static,
    ) {
        let name = property::REPLY_TO_CLIENT;
        let requester =
            property::value(&request.properties, name).map(|id| String::from_utf8_lossy(id).into_owned());
        let broker = self.clone();
        let finish = move |request, pushed| {
            broker.store_reply(request, pushed, queue_id, done);
        };
        let Some(requester) = requester else {
            return finish(request, Err(format!("reply message properties[{name}] is null")));
        };
        let Some(client) = self.clients.producer(&requester) else {
            let remark = format!("push reply message fail, channel of <{requester}> not found.");
            return finish(request, Err(remark));
        };
        let question = self.reply_question(&request);
        let pushed = move |answer: Result<Answer, AskError>| {
            let pushed = match answer {
                Ok(answer) if answer.code == code::SUCCESS => Ok(()),
                Ok(answer) => Err(format!(
                    "push reply message to {requester} fail: it answered {} {}",
                    answer.code,
                    answer.remark.unwrap_or_default()
                )),
                Err(error) => Err(format!("push reply message to {requester} fail: {error}")),
            };
            finish(request, pushed);
        };
        client.channel.ask(question, Box::new(pushed));
    }

    /// The reply as the requester reads it.
    fn reply_question(&self, request: &SendRequest<'_>) -> Question {
        let now_ms = self.clock.now_ms();
        let mut properties = request.properties.to_vec();
        if properties.last().is_some_and(|last| *last != property::VALUE_END) {
            properties.push(property::VALUE_END);
        }
        property::push(
            &mut properties,
            property::PUSH_REPLY_TIME,
            now_ms.to_string().as_bytes(),
        );
        let fields = [
            ("producerGroup", request.producer_group.clone().into_owned()),
            ("topic", request.topic.clone().into_owned()),
            ("defaultTopic", request.default_topic.clone().into_owned()),
            ("defaultTopicQueueNums", request.default_topic_queues.to_string()),
            ("queueId", request.queue_id.to_string()),
            ("sysFlag", request.sys_flag.to_string()),
            ("bornTimestamp", request.born_ms.to_string()),
            ("flag", request.flag.to_string()),
            ("properties", String::from_utf8_lossy(&properties).into_owned()),
            ("reconsumeTimes", request.reconsume_times.to_string()),
            ("unitMode", request.unit_mode.to_string()),
            ("bornHost", request.born_host.to_string()),
            ("storeHost", self.options.store_host.to_string()),
            ("storeTimestamp", now_ms.to_string()),
        ];
        Question {
            kind: QuestionKind::Reply,
            fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
            body: request.body.clone(),
            patience: PATIENCE,
        }
    }

    fn store_reply(
        self: &Arc<Self>,
        request: SendRequest<'static>,
        pushed: Result<(), String>,
        queue_id: u32,
        done: impl FnOnce(Result<ReplyReceipt, SendError>) + Send + 'static,
    ) {
        let receipt = ReplyReceipt {
            pushed,
            stored: None,
            queue_id,
            region: self.region.clone(),
            trace_on: self.options.trace_on,
        };
        if !self.options.store_replies {
            return done(Ok(receipt));
        }
        self.send(request, move |stored| {
            let stored = stored
                .inspect_err(|error| tracing::info!(%error, "a reply is not stored"))
                .ok();
            done(Ok(ReplyReceipt { stored, ..receipt }));
        });
    }
}
