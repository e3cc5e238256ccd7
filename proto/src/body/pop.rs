//! BATCH_ACK_MESSAGE (200151).

use super::object::json_object;
use crate::json::{FromJson, JsonError, JsonErrorKind, Reader};
use crate::limits::MAX_ACK_BITS_BYTES;

/// Acknowledgements of one queue and one pop.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BatchAck {
    /// The consumer's group.
    pub consumer_group: String,
    /// The topic that was popped.
    pub topic: String,
    /// `0`, or which retry topic of it the messages are stored in.
    pub retry: String,
    /// The offset that the first bit stands for.
    pub start_offset: i64,
    /// The queue.
    pub queue_id: i32,
    /// 999 for messages in order.
    pub revive_queue_id: i32,
    /// When the messages were handed out.
    pub pop_ms: i64,
    /// For how long.
    pub invisible_ms: i64,
    /// The offsets.
    pub bits: AckBits,
}

/// A set of offsets: those of the bits that are set, from the start offset on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AckBits(Vec<u8>);

impl AckBits {
    /// The bits of these distances.
    pub fn of(distances: &[usize]) -> Self {
        let mut bits = Vec::new();
        for distance in distances {
            let at = distance / 8;
            if bits.len() <= at {
                bits.resize(at + 1, 0u8);
            }
            bits[at] |= 1 << (distance % 8);
        }
        Self(bits)
    }

    /// Distances from the start offset, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().zip(0u32..).flat_map(|(byte, at)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| at * 8 + bit)
        })
    }

    /// How many offsets there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    fn decode(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('=');
        if text.len() > MAX_ACK_BITS_BYTES / 3 * 4 + 4 {
            return None;
        }
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
        let (mut held, mut bits) = (0u32, 0);
        for letter in text.bytes() {
            held = held << 6 | six_bits(letter)?;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                // The mask leaves one byte.
                bytes.push((held >> bits & 0xff) as u8);
            }
        }
        Some(Self(bytes))
    }
}

fn six_bits(letter: u8) -> Option<u32> {
    Some(match letter {
        b'A'..=b'Z' => u32::from(letter - b'A'),
        b'a'..=b'z' => u32::from(letter - b'a') + 26,
        b'0'..=b'9' => u32::from(letter - b'0') + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

impl FromJson for BatchAck {
    /// Clients write short names; long ones mean the same.
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut ack = Self::default();
        if reader.null()? {
            return Ok(ack);
        }
        reader.members(|reader| {
            match &*reader.key()? {
                "c" | "consumerGroup" => ack.consumer_group = FromJson::from_json(reader)?,
                "t" | "topic" => ack.topic = FromJson::from_json(reader)?,
                "r" | "retry" => ack.retry = FromJson::from_json(reader)?,
                "so" | "startOffset" => ack.start_offset = FromJson::from_json(reader)?,
                "q" | "queueId" => ack.queue_id = FromJson::from_json(reader)?,
                "rq" | "reviveQueueId" => ack.revive_queue_id = FromJson::from_json(reader)?,
                "pt" | "popTime" => ack.pop_ms = FromJson::from_json(reader)?,
                "it" | "invisibleTime" => ack.invisible_ms = FromJson::from_json(reader)?,
                "b" | "bitSet" => {
                    let text = String::from_json(reader)?;
                    ack.bits = AckBits::decode(&text)
                        .ok_or_else(|| reader.error(JsonErrorKind::WrongType("a set of bits in base64")))?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(ack)
    }
}

impl crate::json::ToJson for BatchAck {
    fn to_json(&self, writer: &mut crate::json::Writer<'_>) {
        writer.open_object();
        let text = |writer: &mut crate::json::Writer<'_>, name: &'static str, value: &str| {
            writer.key(name);
            writer.string(value);
            writer.comma();
        };
        let number = |writer: &mut crate::json::Writer<'_>, name: &'static str, value: i64| {
            writer.key(name);
            writer.integer(value);
            writer.comma();
        };
        text(writer, "b", &encode(&self.bits.0));
        text(writer, "c", &self.consumer_group);
        number(writer, "it", self.invisible_ms);
        number(writer, "pt", self.pop_ms);
        number(writer, "q", self.queue_id.into());
        text(writer, "r", &self.retry);
        number(writer, "rq", self.revive_queue_id.into());
        number(writer, "so", self.start_offset);
        text(writer, "t", &self.topic);
        writer.close_object();
    }
}

fn encode(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let held =
            three.iter().fold(0u32, |held, byte| held << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            if at <= three.len() {
                text.push(char::from(LETTERS[(held >> (18 - 6 * at) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

json_object! {
    /// Acknowledgements of several pops.
    pub struct BatchAckRequest {
        /// The acknowledgements.
        acks: Vec<BatchAck> => "acks",
        /// The broker that the messages came from.
        broker_name: Option<String> => "brokerName",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_as_java_writes_them() {
        // new BitSet with 0, 3 and 17: bytes 09 00 02.
        let body = br#"{"acks":[{"b":"CQAC","c":"g","it":5,"pt":7,"q":1,"r":"1","rq":999,"so":40,"t":"t"}],"brokerName":"b"}"#;
        let request = BatchAckRequest::decode(body).unwrap();
        let ack = &request.acks[0];
        assert_eq!(ack.bits.iter().collect::<Vec<_>>(), [0, 3, 17]);
        assert_eq!((ack.bits.count(), &ack.bits), (3, &AckBits::of(&[0, 3, 17])));
        assert_eq!(
            (ack.start_offset, ack.revive_queue_id, ack.retry.as_str()),
            (40, 999, "1")
        );
        assert_eq!(request.encode(), body);
        for distances in [vec![], vec![7], vec![8, 9, 31], vec![100]] {
            let bits = AckBits::of(&distances);
            assert_eq!(AckBits::decode(&encode(&bits.0)), Some(bits));
        }
    }

    #[test]
    fn long_names_mean_the_same_and_bits_are_bounded() {
        let ack = crate::json::from_slice::<BatchAck>(
            br#"{"consumerGroup":"g","bitSet":"AQ==","startOffset":3,"popTime":9}"#,
        );
        let ack = ack.unwrap();
        assert_eq!(
            (ack.consumer_group.as_str(), ack.bits.count(), ack.pop_ms),
            ("g", 1, 9)
        );
        assert_eq!(AckBits::decode("?"), None);
        assert_eq!(AckBits::decode(&"A".repeat(MAX_ACK_BITS_BYTES * 2)), None);
    }
}
