//! Filters: which messages a consumer wants.
//!
//! ```text
//!  expression --compile, once--> Filter --- All    every message
//!                                       |-- Tags   decided by the tag hash that the queue keeps: no record is touched
//!                                       \-- Sql    decided by the properties, in the encoding in which they are stored
//! ```
//!
//! A subscription's filter is compiled when its heartbeat arrives and again when it is restored after a restart; one that a
//! pull brings with it, when it is pulled.

mod sql;

use std::sync::Arc;

use kourou_engine::record::{RecordView, tags_code};
use thiserror::Error;

pub use sql::{SqlError, SqlFilter, SqlReason};

use crate::client::SubscriptionData;
use crate::code;
use crate::property::{Names, Properties};
use crate::text::Text;

/// The language of tag expressions.
const TAG: &str = "TAG";
/// The language of conditions on properties.
const SQL: &str = "SQL92";
/// All messages, in the language of tags.
const ALL: &str = "*";

/// Why a filter does not compile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Separators and nothing between them.
    #[error("the expression names no tag")]
    NoTag,
    /// A language that cannot be empty.
    #[error("the expression is empty")]
    Empty,
    /// Neither tags nor SQL92.
    #[error("The broker does not support consumer to filter message by {expression_type}")]
    UnknownLanguage {
        /// The language that was asked for.
        expression_type: Text,
    },
    /// An SQL expression that is not one.
    #[error("{0}")]
    Sql(#[from] SqlError),
}

impl FilterError {
    /// The protocol's number for it.
    pub const fn response_code(&self) -> i32 {
        match self {
            Self::UnknownLanguage { .. } => code::SYSTEM_ERROR,
            Self::NoTag | Self::Empty | Self::Sql(_) => code::SUBSCRIPTION_PARSE_FAILED,
        }
    }
}

/// Which messages are wanted. Cheap to copy.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All.
    All,
    /// Those whose tag has one of these hashes. The hash of a tag may be that of another: consumers compare the tags
    /// themselves again.
    Tags(Arc<[i32]>),
    /// Those whose properties satisfy this.
    Sql(Arc<SqlFilter>),
}

impl Filter {
    /// Compiles an expression. Without a language it is one of tags: `tag1 || tag2`, where empty and `*` mean all.
    ///
    /// # Errors
    /// If it is not an expression of its language, or there is no such language.
    pub fn compile(expression_type: &str, expression: &str) -> Result<Self, FilterError> {
        if is_tag(expression_type) {
            return Self::tags(expression);
        }
        if expression_type != SQL {
            return Err(FilterError::UnknownLanguage {
                expression_type: expression_type.into(),
            });
        }
        if expression.trim().is_empty() {
            return Err(FilterError::Empty);
        }
        Ok(Self::Sql(Arc::new(SqlFilter::parse(expression)?)))
    }

    /// Compiles the tags `tag1 || tag2`.
    fn tags(expression: &str) -> Result<Self, FilterError> {
        if expression.is_empty() || expression == ALL {
            return Ok(Self::All);
        }
        if expression.split("||").all(str::is_empty) {
            return Err(FilterError::NoTag);
        }
        let tags = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty());
        // The hash is over 32 bits, extended; nothing is lost.
        Ok(Self::Tags(tags.map(|tag| tags_code(tag) as i32).collect()))
    }

    /// The filter of a heartbeat's subscription, which brings the hashes of its tags along.
    pub(crate) fn of_subscription(subscription: &SubscriptionData) -> Result<Self, FilterError> {
        if subscription.class_filter_mode {
            return Ok(Self::All);
        }
        if !is_tag(&subscription.expression_type) {
            return Self::compile(&subscription.expression_type, &subscription.expression);
        }
        if subscription.expression == ALL {
            return Ok(Self::All);
        }
        Ok(Self::Tags(subscription.codes.as_slice().into()))
    }

    /// Whether a message with this tag hash may be wanted: not, if its queue entry alone decides against it.
    pub fn may_match(&self, tags_code: i64) -> bool {
        match self {
            Self::All | Self::Sql(_) => true,
            Self::Tags(codes) => codes.contains(&(tags_code as i32)),
        }
    }

    /// Whether messages that may match must be looked at to know it.
    pub(crate) const fn reads_records(&self) -> bool {
        matches!(self, Self::Sql(_))
    }

    /// Whether a message is wanted. `properties` are as stored: `name 0x01 value 0x02`, repeated.
    pub fn matches(&self, tags_code: i64, properties: &[u8]) -> bool {
        match self {
            // Of a batch without a tag each message has its own, which its consumer looks at.
            Self::All | Self::Tags(_) => {
                self.may_match(tags_code) || tags_code == 0 && holds_batch(properties)
            }
            Self::Sql(sql) => sql.matches(properties),
        }
    }

    /// Whether a record whose entry [may match](Self::may_match) is wanted.
    pub(crate) fn matches_record(&self, record: &[u8]) -> bool {
        match self {
            Self::All | Self::Tags(_) => true,
            // What cannot be parsed is the consumer's to see: a filter hides no damage.
            Self::Sql(sql) => RecordView::parse(record).map_or(true, |view| sql.matches(view.properties())),
        }
    }
}

/// Whether properties are those of a batch that is one record.
fn holds_batch(properties: &[u8]) -> bool {
    Properties::read(properties).present.intersects(Names::INNER_NUM)
}

/// Whether `expression_type` is the language of tags.
fn is_tag(expression_type: &str) -> bool {
    expression_type.is_empty() || expression_type == TAG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_expressions() {
        assert_eq!(Filter::compile("", ""), Ok(Filter::All));
        assert_eq!(Filter::compile("TAG", "*"), Ok(Filter::All));
        assert_eq!(Filter::compile("TAG", "||"), Err(FilterError::NoTag));
        let filter = Filter::compile("", " TagA ||TagB|| ").unwrap();
        assert!(filter.may_match(tags_code("TagA")) && filter.matches(tags_code("TagB"), b""));
        assert!(!filter.may_match(tags_code("TagC")) && !filter.matches(0, b""));
    }

    #[test]
    fn languages() {
        let sql = Filter::compile("SQL92", "a > 5").unwrap();
        assert!(sql.may_match(0) && sql.reads_records());
        assert!(sql.matches(0, b"a\x016\x02") && !sql.matches(0, b"a\x015\x02"));
        assert_eq!(Filter::compile("SQL92", " "), Err(FilterError::Empty));
        let error = Filter::compile("XPATH", "a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "The broker does not support consumer to filter message by XPATH"
        );
        assert_eq!(error.response_code(), code::SYSTEM_ERROR);
        let error = Filter::compile("SQL92", "a >").unwrap_err();
        assert_eq!(error.response_code(), code::SUBSCRIPTION_PARSE_FAILED);
    }

    #[test]
    fn a_heartbeats_hashes_count() {
        let subscription = SubscriptionData {
            expression: "a || b".into(),
            codes: vec![97, 98],
            ..Default::default()
        };
        let filter = Filter::of_subscription(&subscription).unwrap();
        assert!(filter.may_match(97) && !filter.may_match(99));
        let all = SubscriptionData {
            class_filter_mode: true,
            ..subscription
        };
        assert_eq!(Filter::of_subscription(&all), Ok(Filter::All));
    }
}
