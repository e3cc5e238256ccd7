//! Why an SQL expression is refused, and where.

use thiserror::Error;

/// An expression that does not compile: why, and the character at which it shows, the first being 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}, at character {position}")]
#[non_exhaustive]
pub struct SqlError {
    /// The character.
    pub position: usize,
    /// What is wrong there.
    pub reason: SqlReason,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SqlReason {
    /// It is longer than any that is compiled.
    #[error("the expression has {size_bytes} bytes, {max_bytes} are allowed")]
    TooLong {
        /// What it has.
        size_bytes: usize,
        /// What it may have.
        max_bytes: usize,
    },
    /// It is nested deeper than any that is compiled.
    #[error("the expression is nested more than {max} deep")]
    TooDeep {
        /// What it may be.
        max: usize,
    },
    /// It speaks of more properties than any that is compiled.
    #[error("the expression speaks of more than {max} properties")]
    TooManyProperties {
        /// What it may.
        max: usize,
    },
    /// A character that the language does not have.
    #[error("'{found}' is not part of the language{}", hint(*found))]
    Character {
        /// The character.
        found: char,
    },
    /// A string without an end.
    #[error("the string that begins here has no closing quote")]
    OpenString,
    /// A comment without an end.
    #[error("the comment that begins here has no end")]
    OpenComment,
    /// Something else should stand there.
    #[error("found {found} where {wanted} should be")]
    Unexpected {
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
    /// Behind the whole expression there is something else.
    #[error("found {found} behind the end of the expression; conditions are joined by AND or OR")]
    Trailing {
        /// What stands there.
        found: String,
    },
    /// A whole number beyond 64 bits.
    #[error("the number {found} is beyond {}", i64::MAX)]
    IntegerRange {
        /// The number.
        found: String,
    },
    /// A fraction that is 0 or beyond 64 bits.
    #[error(
        "the number {found} is not between {:e} and {:e}; write 0 without a point",
        f64::from_bits(1),
        f64::MAX
    )]
    FloatRange {
        /// The number.
        found: String,
    },
    /// A value where a condition should be.
    #[error("this is a value, not a condition; compare it with something")]
    NotACondition,
    /// Something that has no order.
    #[error(
        "only numbers and properties can be compared by <, <=, >, >= and BETWEEN; NOT binds tighter: write NOT (a > 1)"
    )]
    NoOrder,
    /// NULL compared with something.
    #[error("NULL equals nothing; write IS NULL or IS NOT NULL")]
    NullCompared,
    /// TRUE or FALSE compared with a number or a string.
    #[error("TRUE and FALSE cannot be compared with this")]
    BooleanCompared,
    /// IN of something that is not a property.
    #[error("only a property can be IN a list")]
    InWithoutProperty,
    /// Bounds of BETWEEN that nothing can satisfy.
    #[error("the lower bound of BETWEEN is above the upper one")]
    BoundsReversed,
}

/// What may have been meant.
fn hint(found: char) -> &'static str {
    match found {
        '!' => "; not equal is <>",
        '"' => "; strings stand in single quotes",
        '&' | '|' => "; conditions are joined by AND or OR",
        _ => "",
    }
}
