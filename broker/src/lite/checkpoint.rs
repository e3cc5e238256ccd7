//! Lite topics in checkpoints.
//!
//! ```text
//! u32 count of topics, then for each: text name, u32 count of groups, each text, u32 count of lite topics, then for each: text
//! name, u32 queue id, u64 end, i64 time of the last message; u32 count of clients, then for each: text topic, text group, text
//! client, u32 count of lite topics that it subscribes to, each text
//! ```

use super::LiteTable;
use super::clients::ClientKey;
use super::table::Lites;
use crate::state::{Fields, Writer};

impl LiteTable {
    pub(crate) fn encode(&self) -> Writer {
        let lites = self.lock();
        let mut out = Writer::new();
        out.count(lites.parents.len());
        for (topic, parent) in &lites.parents {
            out.text(topic);
            out.count(parent.groups.len());
            for group in &parent.groups {
                out.text(group);
            }
            let count_at = out.count_later();
            let mut count = 0;
            for (name, queue_id, stored) in parent.all_stored() {
                out.text(name);
                out.u32(queue_id);
                out.u64(stored.end);
                out.i64(stored.last_ms);
                count += 1;
            }
            out.set_count(count_at, count);
        }
        let count_at = out.count_later();
        let mut count = 0;
        for client in lites
            .clients
            .values()
            .filter(|client| !client.subscribed.is_empty())
        {
            out.text(&client.parent);
            out.text(&client.name.group);
            out.text(&client.name.client_id);
            out.count(client.subscribed.len());
            for name in client.subscribed.keys() {
                out.text(name);
            }
            count += 1;
        }
        out.set_count(count_at, count);
        out
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
