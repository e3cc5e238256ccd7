//! What a message that waits for its time is recalled with: `v1 topic brokerName timestamp uniqKey`, in base64 for addresses,
//! padded. Clients read topic and broker from it, and ask that broker. (Apache's `RecallMessageHandle`.)

use super::recall::key_hash;

const VERSION: &str = "v1";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Longest handle that is looked at: of the longest topic, broker and unique key that there can be, and more.
const HANDLE_SIZE_BYTES_MAX: usize = 64 * 1024;

/// A recall handle, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecallHandle {
    pub(crate) topic: String,
    pub(crate) broker_name: String,
    /// When the message is due. Upstream names a moment a millisecond later than its own due time; nobody but the broker
    /// that made a handle looks at it.
    pub(crate) due_ms: i64,
    pub(crate) uniq_key: String,
}

impl RecallHandle {
    /// Appends the handle for a message to `out`.
    pub(crate) fn push(out: &mut String, topic: &str, broker_name: &str, due_ms: i64, uniq_key: &str) {
        let text = format!("{VERSION} {topic} {broker_name} {due_ms} {uniq_key}");
        push_base64(out, text.as_bytes());
    }

    /// Reads a handle; `None` if it is none.
    pub(crate) fn decode(handle: &str) -> Option<Self> {
        if handle.len() > HANDLE_SIZE_BYTES_MAX {
            return None;
        }
        let text = String::from_utf8(base64(handle.as_bytes())?).ok()?;
        let mut items = text.splitn(5, ' ');
        if items.next()? != VERSION {
            return None;
        }
        Some(Self {
            topic: items.next()?.to_owned(),
            broker_name: items.next()?.to_owned(),
            due_ms: items.next()?.parse().ok()?,
            uniq_key: items.next()?.to_owned(),
        })
    }

    pub(crate) fn key_hash(&self) -> u32 {
        key_hash(&self.topic, &self.uniq_key)
    }
}

fn push_base64(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            if at <= chunk.len() {
                let digit = group >> (18 - 6 * at) & 0x3f;
                out.push(DIGITS[digit as usize].into());
            } else {
                out.push('=');
            }
        }
    }
}

/// Padding may be missing, as Java's decoder has it; bits that mean nothing are ignored.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut bit_count) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_java_writes_it() {
        let mut handle = String::new();
        RecallHandle::push(&mut handle, "topic", "broker", 1_700_000_000_001, "KEY?>");
        // Base64.getUrlEncoder().encodeToString("v1 topic broker 1700000000001 KEY?>".getBytes())
        assert_eq!(handle, "djEgdG9waWMgYnJva2VyIDE3MDAwMDAwMDAwMDEgS0VZPz4=");
        assert_eq!(
            RecallHandle::decode(&handle),
            Some(RecallHandle {
                topic: "topic".to_owned(),
                broker_name: "broker".to_owned(),
                due_ms: 1_700_000_000_001,
                uniq_key: "KEY?>".to_owned(),
            })
        );
        assert_eq!(
            RecallHandle::decode(handle.trim_end_matches('=')),
            RecallHandle::decode(&handle)
        );
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        let of = |text: &str| {
            let mut handle = String::new();
            push_base64(&mut handle, text.as_bytes());
            RecallHandle::decode(&handle)
        };
        assert!(of("v1 t b 5 k").is_some());
        for bad in ["", "v2 t b 5 k", "v1 t b 5", "v1 t b soon k", "v1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        for bad in ["", "?", "A", "djEg dG9w", "djEg+/", "====", "\u{e9}"] {
            assert_eq!(RecallHandle::decode(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut text = String::new();
            push_base64(&mut text, &bytes);
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(base64(text.as_bytes()), Some(bytes));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,80}") {
            RecallHandle::decode(&text);
        }
    }
}
