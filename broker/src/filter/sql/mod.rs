//! SQL92 filters: conditions on the properties of a message.
//!
//! The language is upstream's, with its types and its three-valued logic; where these surprise, they surprise here too, for
//! applications are written to them. All properties are text. Compared with a number one is read as a number of that type,
//! and if it is none the message is not wanted, whatever else the condition says. A property that is not there is NULL.
//!
//! What an expression becomes is a tree over slots: evaluating it finds, in one pass over the stored property string, the
//! values of the properties that it speaks of, and touches no others.

mod error;
mod evaluate;
mod expression;
mod lexer;
mod number;
mod parser;
#[cfg(test)]
mod tests;

use std::fmt;

use kourou_engine::record::{NAME_END, VALUE_END};
use memchr::memchr;

pub use error::{SqlError, SqlReason};

use evaluate::{Fault, Truth, Values};
use expression::{Condition, Printed};
use parser::{PROPERTIES_MAX, Parser};

/// Most expressions speak of no more properties than this, and need not make room for more.
const FEW: usize = 8;

/// A compiled SQL92 expression. Its text, by [`Display`](fmt::Display), compiles to the same again.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlFilter {
    condition: Condition,
    names: Box<[Box<str>]>,
}

impl SqlFilter {
    /// Compiles an expression. Its length, its depth and the number of properties it speaks of are bounded.
    ///
    /// # Errors
    /// If it is not one: why, and where.
    pub fn parse(expression: &str) -> Result<Self, SqlError> {
        let (condition, names) = Parser::parse(expression)?;
        Ok(Self {
            condition,
            names: names.into(),
        })
    }

    /// Whether a message with these properties is wanted. `properties` are as stored: `name 0x01 value 0x02`, repeated; of
    /// two with the same name the later one counts. Allocates nothing.
    pub fn matches(&self, properties: &[u8]) -> bool {
        // NULL is not true, and neither is what cannot be compared.
        self.truth(properties) == Ok(Some(true))
    }

    fn truth(&self, properties: &[u8]) -> Result<Truth, Fault> {
        if self.names.len() <= FEW {
            self.truth_within::<FEW>(properties)
        } else {
            self.truth_within::<PROPERTIES_MAX>(properties)
        }
    }

    fn truth_within<const N: usize>(&self, properties: &[u8]) -> Result<Truth, Fault> {
        let mut values: [&[u8]; N] = [&[]; N];
        self.find_values(properties, &mut values);
        self.condition.evaluate(Values(&values))
    }

    /// Finds the values of the names in one pass, entry by entry; what has another name is passed over unread.
    fn find_values<'a>(&self, properties: &'a [u8], values: &mut [&'a [u8]]) {
        let mut rest = properties;
        while !rest.is_empty() {
            let (entry, behind) = match memchr(VALUE_END, rest) {
                Some(end) => rest.split_at(end),
                None => (rest, &[][..]),
            };
            rest = behind.get(1..).unwrap_or_default();
            for (name, found) in self.names.iter().zip(values.iter_mut()) {
                // The separator stands in the right place for few of them, and is the cheaper one to look for.
                if entry.get(name.len()) == Some(&NAME_END) && entry.starts_with(name.as_bytes()) {
                    let value = entry.get(name.len() + 1..).unwrap_or_default();
                    // Without a value it is no property, and does not undo an earlier one.
                    if !value.is_empty() {
                        *found = value;
                    }
                    break;
                }
            }
        }
    }
}

impl fmt::Display for SqlFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = Printed {
            names: &self.names,
            tree: &self.condition,
        };
        printed.fmt(f)
    }
}
