//! A connection as the broker sees it: something to tell clients things by.

use std::net::SocketAddr;

use kourou_broker::client::{AnswerDone, AskError, ClientChannel, OffsetsReset, Question, QuestionKind};
use kourou_broker::send::offset_msg_id;
use kourou_broker::transaction::TransactionCheck;
use kourou_proto::body::{MessageQueue, MessageQueueOffset, ResetOffsetBody, ResetOffsetList};
use kourou_proto::remoting::request::{CheckTransactionStateHeader, ConsumerGroupHeader, ResetOffsetHeader};
use kourou_proto::{Command, RequestCode};

use crate::connection::{Connection, next_opaque};

impl ClientChannel for Connection {
    fn id(&self) -> u64 {
        Self::id(self)
    }

    fn remote_addr(&self) -> SocketAddr {
        self.peer()
    }

    fn notify_consumer_ids_changed(&self, group: &str) {
        let notice = Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, next_opaque())
            .oneway()
            .with_fields(&ConsumerGroupHeader {
                consumer_group: group,
            });
        if !self.push(notice) {
            // Its next round of balancing, twenty seconds later at the most, finds out by itself.
            tracing::debug!(peer = %self.peer(), group, "a slow client was not told that its group changed");
        }
    }

    fn check_transaction(&self, check: &TransactionCheck<'_>) -> bool {
        let narrow = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        let question = Command::request(RequestCode::CHECK_TRANSACTION_STATE, next_opaque())
            .oneway()
            .with_fields(&CheckTransactionStateHeader {
                topic: Some(check.topic),
                queue_offset: narrow(check.queue_offset),
                position: narrow(check.position),
                msg_id: check.unique_id,
                transaction_id: check.unique_id,
                offset_msg_id: Some(&offset_msg_id(check.store_host, check.position)),
                broker_name: Some(check.broker_name),
            })
            .with_body(check.message.clone());
        self.push(question)
    }

    fn ask(&self, question: Question, done: AnswerDone) {
        let code = match question.kind {
            QuestionKind::RunningInfo => RequestCode::GET_CONSUMER_RUNNING_INFO,
            QuestionKind::ConsumeDirectly => RequestCode::CONSUME_MESSAGE_DIRECTLY,
            QuestionKind::ConsumerStatus => RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT,
            QuestionKind::Reply => RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT,
            _ => return done(Err(AskError::NotSupported)),
        };
        let mut request = Command::request(code, 0).with_body(question.body);
        for (name, value) in &question.fields {
            request.header.fields.push(name, value);
        }
        Self::ask(self, request, question.patience, done);
    }

    fn reset_offsets(&self, reset: &OffsetsReset<'_>) -> bool {
        let queues = reset.offsets.iter().map(|(queue_id, offset)| {
            let queue = MessageQueue {
                broker_name: reset.broker_name.to_owned(),
                queue_id: i32::try_from(*queue_id).unwrap_or(i32::MAX),
                topic: reset.topic.to_owned(),
            };
            (queue, i64::try_from(*offset).unwrap_or(i64::MAX))
        });
        let body = if reset.as_list {
            let offset_table = queues
                .map(|(queue, offset)| MessageQueueOffset::new(queue, offset))
                .collect();
            ResetOffsetList { offset_table }.encode()
        } else {
            let offset_table = queues.collect();
            ResetOffsetBody { offset_table }.encode()
        };
        let order = Command::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, next_opaque())
            .oneway()
            .with_fields(&ResetOffsetHeader {
                topic: reset.topic,
                group: reset.group,
                queue_id: -1,
                offset: None,
                timestamp_ms: reset.timestamp_ms,
                force: false,
            })
            .with_body(body);
        self.push(order)
    }

    fn close(&self) {
        self.kill();
    }
}
