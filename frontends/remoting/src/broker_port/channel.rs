//! A connection as the broker sees it: something to tell clients things by.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};

use kourou_broker::client::ClientChannel;
use kourou_proto::remoting::request::ConsumerGroupHeader;
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

    fn close(&self) {
        self.kill();
    }
}
