//! Trace records as Apache's clients write them and its tools read them (`TraceDataEncoder` upstream).
//!
//! ```text
//! Pub             0x01 time 0x01 region 0x01 group 0x01 topic 0x01 id 0x01 tags 0x01 keys 0x01 store host 0x01 body size
//!                 0x01 cost in ms 0x01 kind 0x01 offset id 0x01 success 0x01 client host 0x02
//! SubBefore       0x01 time 0x01 region 0x01 group 0x01 request id 0x01 id 0x01 times tried before 0x01 keys 0x02
//! SubAfter        0x01 request id 0x01 id 0x01 cost in ms 0x01 success 0x01 keys 0x01 outcome 0x01 time 0x01 group 0x02
//! EndTransaction  0x01 time 0x01 region 0x01 group 0x01 topic 0x01 id 0x01 tags 0x01 keys 0x01 store host 0x01 kind
//!                 0x01 transaction id 0x01 state 0x01 from check 0x02
//! ```
//!
//! Readers split the text and lose empty fields at its end, so what is not there is the word `null`, as Java's clients write it.

use std::fmt::{Display, Write};

use kourou_engine::record::KeyHash;

use super::event::Outcome;

const FIELD_END: char = '\u{1}';
const RECORD_END: char = '\u{2}';
/// Costs are 32 bits wide for their readers.
const COST_MS_MAX: i64 = i32::MAX as i64;

/// One record as it is being put together.
pub(super) struct Line<'a> {
    out: &'a mut String,
}

impl<'a> Line<'a> {
    pub(super) fn begin(out: &'a mut String, kind: &str) -> Self {
        out.push_str(kind);
        Self { out }
    }

    /// A text. It cannot end its field.
    pub(super) fn text(self, text: &str) -> Self {
        self.out.push(FIELD_END);
        if text.is_empty() {
            self.out.push_str("null");
        }
        let kept = |char: char| match char {
            FIELD_END | RECORD_END => ' ',
            other => other,
        };
        self.out.extend(text.chars().map(kept));
        self
    }

    /// Something whose text is harmless.
    pub(super) fn value(self, value: impl Display) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.out, "{FIELD_END}{value}");
        self
    }

    pub(super) fn cost(self, cost_ms: i64) -> Self {
        self.value(cost_ms.clamp(0, COST_MS_MAX))
    }

    pub(super) fn end(self) {
        self.out.push(RECORD_END);
    }
}

impl Outcome {
    /// The number that readers know it by.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }
}

/// What ties the record of a delivery to that of its outcome: 32 hexadecimal digits, as clients make them. They come from what was
/// delivered to whom and when, so both can be made by themselves.
pub(super) struct RequestId<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) queue_id: u32,
    pub(super) offset: u64,
    pub(super) at_ms: i64,
}

impl Display for RequestId<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = KeyHash::new(self.topic, self.group.as_bytes()).value();
        let queue = names ^ u64::from(self.queue_id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = self.at_ms & 0xffff;
        write!(f, "{queue:016X}{at:04X}{:012X}", self.offset & 0xffff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_to_themselves() {
        let mut out = String::new();
        Line::begin(&mut out, "Pub")
            .value(7)
            .text("a\u{1}b\u{2}c")
            .text("")
            .cost(-3)
            .cost(i64::MAX)
            .value(true)
            .end();
        assert_eq!(
            out,
            "Pub\u{1}7\u{1}a b c\u{1}null\u{1}0\u{1}2147483647\u{1}true\u{2}"
        );
    }

    #[test]
    fn request_ids_are_as_long_as_those_of_clients_and_tell_deliveries_apart() {
        let first = RequestId {
            group: "g",
            topic: "t",
            queue_id: 1,
            offset: 7,
            at_ms: 1_700_000_000_123,
        };
        let mut seen = std::collections::HashSet::new();
        for id in [
            RequestId { ..first },
            RequestId { group: "h", ..first },
            RequestId { topic: "u", ..first },
            RequestId { queue_id: 2, ..first },
            RequestId { offset: 8, ..first },
            RequestId {
                at_ms: first.at_ms + 1,
                ..first
            },
        ] {
            let text = id.to_string();
            assert_eq!(text.len(), 32, "{text}");
            assert!(seen.insert(text));
        }
    }
}
