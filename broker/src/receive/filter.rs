//! Tag filters: which entries a consumer wants, decided by the hash that the queue keeps of each tag.

use std::sync::Arc;

use kourou_engine::record::tags_code;
use thiserror::Error;

use super::InlineSubscription;
use crate::client::SubscriptionData;

/// The language of tag expressions.
const TAG: &str = "TAG";
/// All messages.
const ALL: &str = "*";

/// Why a filter expression does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Separators and nothing between them.
    #[error("the expression names no tag")]
    NoTag,
    /// A language that cannot be empty.
    #[error("the expression is empty")]
    Empty,
}

/// Which messages are wanted. The hash of a tag may be that of another: consumers compare the tags themselves again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFilter {
    /// All.
    All,
    /// Those whose tag has one of these hashes.
    Codes(Arc<[i32]>),
}

impl TagFilter {
    /// Parses `tag1 || tag2`; empty and `*` mean all.
    ///
    /// # Errors
    /// If there are separators but no tag.
    pub fn parse(expression: &str) -> Result<Self, ExpressionError> {
        if expression.is_empty() || expression == ALL {
            return Ok(Self::All);
        }
        if expression.split("||").all(str::is_empty) {
            return Err(ExpressionError::NoTag);
        }
        let tags = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty());
        // The hash is over 32 bits, extended; nothing is lost.
        Ok(Self::Codes(tags.map(|tag| tags_code(tag) as i32).collect()))
    }

    pub(crate) fn of_inline(inline: &InlineSubscription) -> Result<Self, ExpressionError> {
        if is_tag(&inline.expression_type) {
            Self::parse(&inline.expression)
        } else if inline.expression.is_empty() {
            Err(ExpressionError::Empty)
        } else {
            // Refused later, by the name of its language.
            Ok(Self::All)
        }
    }

    pub(crate) fn of_subscription(subscription: &SubscriptionData) -> Self {
        if subscription.class_filter_mode
            || subscription.expression == ALL
            || !is_tag(&subscription.expression_type)
        {
            return Self::All;
        }
        Self::Codes(subscription.codes.as_slice().into())
    }

    /// Whether a message with this tag hash is wanted.
    pub fn matches(&self, tags_code: i64) -> bool {
        match self {
            Self::All => true,
            Self::Codes(codes) => codes.contains(&(tags_code as i32)),
        }
    }
}

/// Whether `expression_type` is the language of tags.
pub(crate) fn is_tag(expression_type: &str) -> bool {
    expression_type.is_empty() || expression_type == TAG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        assert_eq!(TagFilter::parse(""), Ok(TagFilter::All));
        assert_eq!(TagFilter::parse("*"), Ok(TagFilter::All));
        assert_eq!(TagFilter::parse("||"), Err(ExpressionError::NoTag));
        let filter = TagFilter::parse(" TagA ||TagB|| ");
        assert!(
            filter
                .as_ref()
                .is_ok_and(|filter| filter.matches(tags_code("TagA")))
        );
        assert!(
            filter
                .as_ref()
                .is_ok_and(|filter| filter.matches(tags_code("TagB")))
        );
        assert!(
            filter
                .as_ref()
                .is_ok_and(|filter| !filter.matches(tags_code("TagC")) && !filter.matches(0))
        );
    }

    #[test]
    fn a_heartbeats_hashes_count() {
        let subscription = SubscriptionData {
            expression: "a || b".into(),
            codes: vec![97, 98],
            ..Default::default()
        };
        let filter = TagFilter::of_subscription(&subscription);
        assert!(filter.matches(97) && !filter.matches(99));
        let all = SubscriptionData {
            class_filter_mode: true,
            ..subscription
        };
        assert!(TagFilter::of_subscription(&all).matches(99));
    }
}
