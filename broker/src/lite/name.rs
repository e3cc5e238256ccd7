//! Names of lite topics.

use thiserror::Error;

/// Longest name, in bytes; what Apache's proxy allows by default.
pub const LITE_TOPIC_SIZE_BYTES_MAX: usize = 64;

/// Why a name is not a lite topic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LiteNameError {
    /// There is none.
    #[error("the lite topic is blank")]
    Blank,
    /// It is too long.
    #[error("the lite topic has {size_bytes} bytes, at most {LITE_TOPIC_SIZE_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        size_bytes: usize,
    },
    /// It has another character.
    #[error("the lite topic may have letters, digits, '-' and '_' alone")]
    IllegalCharacter,
}

/// Whether `name` can be a lite topic's.
///
/// # Errors
/// If it cannot.
pub fn check(name: &str) -> Result<(), LiteNameError> {
    if name.trim().is_empty() {
        return Err(LiteNameError::Blank);
    }
    if name.len() > LITE_TOPIC_SIZE_BYTES_MAX {
        return Err(LiteNameError::TooLong {
            size_bytes: name.len(),
        });
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.bytes().all(is_legal) {
        return Err(LiteNameError::IllegalCharacter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_the_rules() {
        assert_eq!(check("session-1_a"), Ok(()));
        assert_eq!(check(&"l".repeat(64)), Ok(()));
        assert_eq!(
            check(&"l".repeat(65)),
            Err(LiteNameError::TooLong { size_bytes: 65 })
        );
        for blank in ["", "  "] {
            assert_eq!(check(blank), Err(LiteNameError::Blank));
        }
        for bad in ["*", "a b", "a$b", "\u{e9}", "a\u{1}", "%a"] {
            assert_eq!(check(bad), Err(LiteNameError::IllegalCharacter), "{bad}");
        }
    }
}
