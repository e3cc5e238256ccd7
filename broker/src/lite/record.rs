//! How changes of lite topics are logged.
//!
//! ```text
//! kind 50  lite topics ended  text topic, u32 count, then for each: u32 queue id, text name, u64 end of the queue; counts for
//!                             those whose queue ends there
//! kind 51  lite subscribed    text topic, text group, text client, u8 how, u32 count of names that it leaves, each text, u32
//!                             count of names that it subscribes to, for each text name, i64 offset where the group goes on, below
//!                             0 for where it is
//!
//! how      bit 0  it takes them from others of its group
//!          bit 1  it gets only those that no other of its group has
//!          bit 2  who takes one from another begins at its first message
//!          bit 3  who leaves one and comes back begins at its first message
//! ```
//!
//! Each begins with the version of the encoding.

use super::topics::Idle;
use crate::state::{Fields, Writer};

pub(crate) const ENDED: u16 = 50;
pub(crate) const SUBSCRIBED: u16 = 51;

const VERSION: u8 = 1;

/// How others of the group count when a client subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct How {
    pub(super) takes: bool,
    pub(super) yields: bool,
    pub(super) resets_when_taken: bool,
    pub(super) resets_when_left: bool,
}

impl How {
    fn bits(self) -> u8 {
        u8::from(self.takes)
            | u8::from(self.yields) << 1
            | u8::from(self.resets_when_taken) << 2
            | u8::from(self.resets_when_left) << 3
    }

    fn of(bits: u8) -> Self {
        let has = |bit: u8| bits >> bit & 1 == 1;
        Self {
            takes: has(0),
            yields: has(1),
            resets_when_taken: has(2),
            resets_when_left: has(3),
        }
    }
}

/// A change of what a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscribed<'a> {
    pub(super) topic: &'a str,
    pub(super) group: &'a str,
    pub(super) client_id: &'a str,
    pub(super) how: How,
    pub(super) left: Vec<&'a str>,
    pub(super) added: Vec<Added<'a>>,
}

/// A lite topic that a client subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added<'a> {
    pub(super) name: &'a str,
    /// Where the group goes on; none for where it is.
    pub(super) offset: Option<u64>,
}

impl<'a> Subscribed<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.text(self.topic);
        out.text(self.group);
        out.text(self.client_id);
        out.u8(self.how.bits());
        out.count(self.left.len());
        for name in &self.left {
            out.text(name);
        }
        out.count(self.added.len());
        for Added { name, offset } in &self.added {
            out.text(name);
            out.i64(offset.and_then(|offset| i64::try_from(offset).ok()).unwrap_or(-1));
        }
        out.finish()
    }

    /// Reads what is behind the version.
    pub(super) fn read(fields: &mut Fields<'a>) -> Option<Self> {
        Some(Self {
            topic: fields.text()?,
            group: fields.text()?,
            client_id: fields.text()?,
            how: How::of(fields.u8()?),
            left: (0..fields.count()?)
                .map(|_| fields.text())
                .collect::<Option<_>>()?,
            added: (0..fields.count()?)
                .map(|_| {
                    Some(Added {
                        name: fields.text()?,
                        offset: u64::try_from(fields.i64()?).ok(),
                    })
                })
                .collect::<Option<_>>()?,
        })
    }
}

pub(super) fn ended(topic: &str, idle: &[Idle]) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION);
    out.text(topic);
    out.count(idle.len());
    for one in idle {
        out.u32(one.queue_id);
        out.text(&one.name);
        out.u64(one.end);
    }
    out.finish()
}

/// Reads what is behind the version.
pub(super) fn read_ended<'a>(fields: &mut Fields<'a>) -> Option<(&'a str, Vec<Idle>)> {
    let topic = fields.text()?;
    let idle = (0..fields.count()?).map(|_| {
        Some(Idle {
            queue_id: fields.u32()?,
            name: fields.text()?.into(),
            end: fields.u64()?,
        })
    });
    Some((topic, idle.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for bits in 0..16 {
            let said = Subscribed {
                topic: "t",
                group: "g",
                client_id: "c",
                how: How::of(bits),
                left: vec!["a"],
                added: [("b", None), ("c", Some(7))]
                    .map(|(name, offset)| Added { name, offset })
                    .into(),
            };
            let encoded = said.encode();
            let mut fields = Fields::new(&encoded);
            assert_eq!(fields.u8(), Some(VERSION));
            assert_eq!(Subscribed::read(&mut fields), Some(said));
            assert!(fields.is_empty());
        }
        let idle = vec![Idle {
            queue_id: 7,
            name: "a".into(),
            end: 9,
        }];
        let encoded = ended("t", &idle);
        let mut fields = Fields::new(&encoded);
        assert_eq!(fields.u8(), Some(VERSION));
        assert_eq!(read_ended(&mut fields), Some(("t", idle)));
    }
}
