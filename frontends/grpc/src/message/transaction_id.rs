//! What names a transaction: where its half message is. Clients hand it back as they got it, so nothing about pending transactions has
//! to be remembered here, and an end may come as late as it likes, to a broker that has been restarted.

use std::fmt;
use std::str::FromStr;

/// Where a half message is: `position` and `queue_offset`, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransactionId {
    pub(crate) position: u64,
    pub(crate) queue_offset: u64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}{:016X}", self.position, self.queue_offset)
    }
}

impl FromStr for TransactionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(());
        }
        // Digits are of one byte each.
        let (position, queue_offset) = text.split_at(16);
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| ());
        Ok(Self {
            position: number(position)?,
            queue_offset: number(queue_offset)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let id = TransactionId {
            position: 0x1234,
            queue_offset: u64::MAX,
        };
        assert_eq!(id.to_string(), "0000000000001234FFFFFFFFFFFFFFFF");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "12", &"g".repeat(32), &"\u{e9}".repeat(16), &"+1".repeat(16)] {
            assert_eq!(bad.parse::<TransactionId>(), Err(()), "{bad}");
        }
    }
}
