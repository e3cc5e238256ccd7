//! Lite topics in checkpoints.
//!
//! ```text
//! u32 count of topics, then for each: text name, u32 count of groups, each text, u32 count of lite topics, then for each: text
//! name, u32 queue id, u64 end, i64 time of the last message; u32 count of clients, then for each: text topic, text group, text
//! client, u32 count of lite topics that it subscribes to, each text
//! ```

use std::sync::Arc;

use super::LiteTable;
use super::clients::{ClientKey, ClientName};
use super::table::Lites;
use super::topics::Stored;
use crate::state::{Fields, Writer};

/// What a checkpoint says of one topic.
struct ParentState {
    topic: Arc<str>,
    groups: Vec<Arc<str>>,
    lites: Vec<(Arc<str>, u32, Stored)>,
}

/// What a checkpoint says of one client.
struct ClientState {
    topic: Arc<str>,
    name: ClientName,
    subscribed: Vec<Arc<str>>,
}

impl LiteTable {
    /// Names are shared with what is encoded later, so that the log waits for no more than counting them.
    pub(crate) fn encode(&self) -> Writer {
        let lites = self.lock();
        let parents: Vec<ParentState> = lites
            .parents
            .iter()
            .map(|(topic, parent)| ParentState {
                topic: topic.clone(),
                groups: parent.groups.clone(),
                lites: parent
                    .all_stored()
                    .map(|(name, queue_id, stored)| (name.clone(), queue_id, stored))
                    .collect(),
            })
            .collect();
        let clients: Vec<ClientState> = lites
            .clients
            .values()
            .filter(|client| !client.subscribed.is_empty())
            .map(|client| ClientState {
                topic: client.parent.clone(),
                name: client.name.clone(),
                subscribed: client.subscribed.keys().cloned().collect(),
            })
            .collect();
        drop(lites);
        Writer::later(move |bytes| bytes.extend(written(&parents, &clients).finish()))
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let mut lites = Lites::default();
        for _ in 0..fields.count()? {
            let topic = fields.text()?;
            lites.parent(topic);
            for _ in 0..fields.count()? {
                lites.remember_group(topic, fields.text()?);
            }
            for _ in 0..fields.count()? {
                let (name, queue_id) = (fields.text()?, fields.u32()?);
                let (end, last_ms) = (fields.u64()?, fields.i64()?);
                lites.parent(topic).stored(queue_id, name, end, last_ms)?;
                lites.topics += 1;
            }
        }
        for _ in 0..fields.count()? {
            let topic = fields.text()?;
            let key = ClientKey {
                group: fields.text()?,
                client_id: fields.text()?,
            };
            let no = lites.client(key, topic, 0);
            for _ in 0..fields.count()? {
                lites.join(no, topic, fields.text()?);
            }
        }
        *self.lock() = lites;
        Some(())
    }
}

fn written(parents: &[ParentState], clients: &[ClientState]) -> Writer {
    let mut out = Writer::new();
    out.count(parents.len());
    for parent in parents {
        out.text(&parent.topic);
        out.count(parent.groups.len());
        for group in &parent.groups {
            out.text(group);
        }
        out.count(parent.lites.len());
        for (name, queue_id, stored) in &parent.lites {
            out.text(name);
            out.u32(*queue_id);
            out.u64(stored.end);
            out.i64(stored.last_ms);
        }
    }
    out.count(clients.len());
    for client in clients {
        out.text(&client.topic);
        out.text(&client.name.group);
        out.text(&client.name.client_id);
        out.count(client.subscribed.len());
        for name in &client.subscribed {
            out.text(name);
        }
    }
    out
}
