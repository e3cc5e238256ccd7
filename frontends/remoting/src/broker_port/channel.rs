//! A connection as the broker sees it: something to tell clients things by.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};

use kourou_broker::client::ClientChannel;
use kourou_broker::send::offset_msg_id;
use kourou_broker::transaction::TransactionCheck;
use kourou_proto::remoting::request::{CheckTransactionStateHeader, ConsumerGroupHeader};
use kourou_proto::{Command, RequestCode};

use crate::connection::Connection;

/// Numbers of our own requests. Clients keep them apart from theirs by the response bit.
static NEXT_OPAQUE: AtomicI32 = AtomicI32::new(0);

impl ClientChannel for Connection {
    fn id(&self) -> u64 {
        Self::id(self)
    }

    fn remote_addr(&self) -> SocketAddr {
        self.peer()
    }

    fn notify_consumer_ids_changed(&self, group: &str) {
        let opaque = NEXT_OPAQUE.fetch_add(1, Ordering::Relaxed);
        let notice = Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, opaque)
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
        let opaque = NEXT_OPAQUE.fetch_add(1, Ordering::Relaxed);
        let question = Command::request(RequestCode::CHECK_TRANSACTION_STATE, opaque)
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

    fn close(&self) {
        self.kill();
    }
}
