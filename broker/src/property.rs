//! The property string of a message: read once on arrival, changed on the way into the record.
//!
//! `name 0x01 value 0x02`, repeated; the last terminator may be missing. Entries that readers of the format ignore (no name,
//! no value) pass through unread.

use kourou_engine::record::NAME_END;
pub(crate) use kourou_engine::record::VALUE_END;

pub(crate) const UNIQ_KEY: &str = "UNIQ_KEY";
pub(crate) const LITE_TOPIC: &str = "__LITE_TOPIC";
pub(crate) const DELAY: &str = "DELAY";
pub(crate) const REAL_TOPIC: &str = "REAL_TOPIC";
pub(crate) const REAL_QID: &str = "REAL_QID";
pub(crate) const RETRY_TOPIC: &str = "RETRY_TOPIC";
pub(crate) const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
pub(crate) const CLUSTER: &str = "CLUSTER";
pub(crate) const MSG_REGION: &str = "MSG_REGION";
pub(crate) const TRACE_ON: &str = "TRACE_ON";
pub(crate) const PGROUP: &str = "PGROUP";
pub(crate) const TRANSACTION_ID: &str = "__transactionId__";
pub(crate) const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
pub(crate) const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
pub(crate) const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
pub(crate) const CHECK_IMMUNITY_TIME: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
pub(crate) const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
pub(crate) const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
pub(crate) const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
pub(crate) const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
pub(crate) const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
pub(crate) const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";

/// The properties that the broker cares for, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Names(u32);

impl Names {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const UNIQ_KEY: Self = Self(1);
    pub(crate) const DELAY: Self = Self(1 << 1);
    pub(crate) const TRAN_MSG: Self = Self(1 << 2);
    pub(crate) const POP_CK: Self = Self(1 << 3);
    pub(crate) const CLUSTER: Self = Self(1 << 4);
    pub(crate) const MSG_REGION: Self = Self(1 << 5);
    pub(crate) const TRACE_ON: Self = Self(1 << 6);
    /// When the message is to be delivered.
    pub(crate) const TIMER: Self = Self(1 << 7);
    pub(crate) const REAL_TOPIC: Self = Self(1 << 8);
    pub(crate) const REAL_QID: Self = Self(1 << 9);
    pub(crate) const RETRY_TOPIC: Self = Self(1 << 10);
    pub(crate) const ORIGIN_MESSAGE_ID: Self = Self(1 << 11);
    pub(crate) const PGROUP: Self = Self(1 << 12);
    pub(crate) const SHARDING_KEY: Self = Self(1 << 24);
    pub(crate) const PRIORITY: Self = Self(1 << 25);
    pub(crate) const LITE_TOPIC: Self = Self(1 << 26);
    pub(crate) const INNER_NUM: Self = Self(1 << 27);
    /// What a timer that was delivered has been through.
    pub(crate) const TIMER_PAST: Self = Self(1 << 28);
    /// A message that takes back another.
    pub(crate) const TIMER_DEL: Self = Self(1 << 29);

    /// What the broker writes itself, whatever the client says.
    pub(crate) const STAMPED: Self = Self::CLUSTER
        .and(Self::MSG_REGION)
        .and(Self::TRACE_ON)
        .and(Self::POP_CK)
        .and(Self::INNER_NUM);
    /// Where a delayed message goes in the end.
    pub(crate) const REAL: Self = Self::REAL_TOPIC.and(Self::REAL_QID);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn of(name: &[u8]) -> Self {
        match name {
            b"UNIQ_KEY" => Self::UNIQ_KEY,
            b"DELAY" => Self::DELAY,
            b"TRAN_MSG" => Self::TRAN_MSG,
            b"POP_CK" => Self::POP_CK,
            b"CLUSTER" => Self::CLUSTER,
            b"MSG_REGION" => Self::MSG_REGION,
            b"TRACE_ON" => Self::TRACE_ON,
            b"TIMER_DELAY_SEC" | b"TIMER_DELAY_MS" | b"TIMER_DELIVER_MS" => Self::TIMER,
            b"TIMER_OUT_MS" | b"TIMER_ENQUEUE_MS" | b"TIMER_DEQUEUE_MS" | b"TIMER_ROLL_TIMES" => {
                Self::TIMER_PAST
            }
            b"TIMER_DEL_UNIQKEY" => Self::TIMER_DEL,
            b"REAL_TOPIC" => Self::REAL_TOPIC,
            b"REAL_QID" => Self::REAL_QID,
            b"RETRY_TOPIC" => Self::RETRY_TOPIC,
            b"ORIGIN_MESSAGE_ID" => Self::ORIGIN_MESSAGE_ID,
            b"PGROUP" => Self::PGROUP,
            b"__SHARDINGKEY" => Self::SHARDING_KEY,
            b"_SYS_MSG_PRIORITY_" => Self::PRIORITY,
            b"__LITE_TOPIC" => Self::LITE_TOPIC,
            b"INNER_NUM" => Self::INNER_NUM,
            _ => Self::NONE,
        }
    }
}

/// What a message says of when it is to be delivered, as it is written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimerProperties<'a> {
    pub(crate) delay_s: Option<&'a [u8]>,
    pub(crate) delay_ms: Option<&'a [u8]>,
    pub(crate) deliver_ms: Option<&'a [u8]>,
    /// Whether it has been a timer already.
    pub(crate) is_over: bool,
}

impl<'a> TimerProperties<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"TIMER_DELAY_SEC" => self.delay_s = Some(value),
            b"TIMER_DELAY_MS" => self.delay_ms = Some(value),
            b"TIMER_DELIVER_MS" => self.deliver_ms = Some(value),
            b"TIMER_OUT_MS" => self.is_over = true,
            _ => {}
        }
    }
}

/// A property string that has been looked through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Properties<'a> {
    text: &'a [u8],
    /// Which of the broker's names are in it.
    pub(crate) present: Names,
    /// The unique id, if it has one.
    pub(crate) uniq_key: Option<&'a [u8]>,
    /// The delay level; 0 without one.
    pub(crate) delay_level: i32,
    /// When else it is to be delivered.
    pub(crate) timer: TimerProperties<'a>,
    /// Whether it is one half of a transaction.
    pub(crate) is_transaction: bool,
    /// The priority; none below 0.
    pub(crate) priority: Option<u32>,
    /// The lite topic.
    pub(crate) lite_topic: Option<&'a [u8]>,
    /// The topic that a message sent back came from first.
    pub(crate) retry_topic: Option<&'a [u8]>,
    /// The id that a message sent back had first.
    pub(crate) origin_message_id: Option<&'a [u8]>,
}

impl<'a> Properties<'a> {
    /// Looks through `text` once.
    pub(crate) fn read(text: &'a [u8]) -> Self {
        let mut found = Self {
            text,
            present: Names::NONE,
            uniq_key: None,
            delay_level: 0,
            timer: TimerProperties::default(),
            is_transaction: false,
            priority: None,
            lite_topic: None,
            retry_topic: None,
            origin_message_id: None,
        };
        for (text, value) in entries(text) {
            let name = Names::of(text);
            found.present = found.present.and(name);
            // A later entry of the same name wins, as in every reader.
            match name {
                Names::UNIQ_KEY => found.uniq_key = Some(value),
                Names::DELAY => found.delay_level = number(value).unwrap_or(0),
                Names::TIMER | Names::TIMER_PAST => found.timer.note(text, value),
                Names::TRAN_MSG => found.is_transaction = value.eq_ignore_ascii_case(b"true"),
                Names::PRIORITY => found.priority = number(value).and_then(|level| u32::try_from(level).ok()),
                Names::LITE_TOPIC => found.lite_topic = Some(value),
                Names::RETRY_TOPIC => found.retry_topic = Some(value),
                Names::ORIGIN_MESSAGE_ID => found.origin_message_id = Some(value),
                _ => {}
            }
        }
        found
    }

    /// Appends a changed copy to `out`, without the properties in `without`, and ready for more.
    pub(crate) fn copy_without(&self, without: Names, out: &mut Vec<u8>) {
        if self.present.intersects(without) {
            for entry in self.text.split_inclusive(|byte| *byte == VALUE_END) {
                let name = entry.split(|byte| *byte == NAME_END).next().unwrap_or_default();
                if !Names::of(name).intersects(without) {
                    out.extend_from_slice(entry);
                }
            }
        } else {
            out.extend_from_slice(self.text);
        }
        end_last(out);
    }
}

/// Ends the last property, if it is not ended: more can be appended.
pub(crate) fn end_last(out: &mut Vec<u8>) {
    if out.last().is_some_and(|last| *last != VALUE_END) {
        out.push(VALUE_END);
    }
}

/// Appends one property.
pub(crate) fn push(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(NAME_END);
    out.extend_from_slice(value);
    out.push(VALUE_END);
}

/// The value of a property; the last one counts.
pub(crate) fn value<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entries(text)
        .filter(|(found, _)| *found == name.as_bytes())
        .last()
        .map(|(_, value)| value)
}

/// A whole number in text.
pub(crate) fn number(value: &[u8]) -> Option<i32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Names and values, of the entries that have both.
pub(crate) fn entries(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == VALUE_END).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == NAME_END)?;
        let (name, rest) = entry.split_at(at);
        let value = rest.get(1..)?;
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_broker_cares_for() {
        let found = Properties::read(
            b"KEYS\x01k\x02UNIQ_KEY\x01A\x02DELAY\x013\x02UNIQ_KEY\x01B\x02TRAN_MSG\x01true",
        );
        assert_eq!(found.uniq_key, Some(b"B".as_slice()));
        assert_eq!(found.delay_level, 3);
        assert!(found.is_transaction && !found.present.intersects(Names::TIMER));
        assert!(
            Properties::read(b"TIMER_DELAY_MS\x015\x02")
                .present
                .intersects(Names::TIMER)
        );
        assert_eq!(
            Properties::read(b"DELAY\x01soon\x02UNIQ_KEY\x01\x02").uniq_key,
            None
        );
    }

    #[test]
    fn copies_with_changes() {
        let text = b"POP_CK\x01x y\x02KEYS\x01k\x02CLUSTER\x01lies\x02TAGS\x01t";
        let copied = |text: &[u8]| {
            let mut out = Vec::new();
            Properties::read(text).copy_without(Names::STAMPED, &mut out);
            out
        };
        let mut out = copied(text);
        push(&mut out, CLUSTER, b"c");
        assert_eq!(out, b"KEYS\x01k\x02TAGS\x01t\x02CLUSTER\x01c\x02");
        assert_eq!(copied(b""), b"");
        assert_eq!(copied(b"A\x01b\x02"), b"A\x01b\x02");
    }
}
