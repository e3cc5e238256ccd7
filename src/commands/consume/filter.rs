//! Which messages are wanted.

use std::collections::BTreeSet;

use kourou_broker::filter::{SqlError, SqlFilter};
use kourou_engine::record::tags_code;
use kourou_proto::body::SubscriptionData;

/// What a member subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// `*`, or tags joined by `||`.
    Tags {
        expression: String,
        /// Empty: every message.
        tags: BTreeSet<String>,
    },
    /// An SQL92 expression on properties, evaluated by the broker.
    Sql(String),
}

impl Filter {
    pub(super) fn tags(expression: &str) -> Self {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Self::Tags {
                expression: "*".to_owned(),
                tags: BTreeSet::new(),
            };
        }
        let tags = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect();
        Self::Tags {
            expression: expression.to_owned(),
            tags,
        }
    }

    /// # Errors
    /// It does not compile: nobody has to be asked for that.
    pub(super) fn sql(expression: &str) -> Result<Self, SqlError> {
        SqlFilter::parse(expression)?;
        Ok(Self::Sql(expression.to_owned()))
    }

    pub(super) fn expression(&self) -> &str {
        match self {
            Self::Tags { expression, .. } | Self::Sql(expression) => expression,
        }
    }

    /// As the protocol names it.
    pub(super) const fn expression_type(&self) -> &'static str {
        match self {
            Self::Tags { .. } => "TAG",
            Self::Sql(_) => "SQL92",
        }
    }

    /// Brokers compare the hashes of tags; the last word is the client's.
    pub(super) fn matches(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Tags { tags, .. } => tags.is_empty() || tag.is_some_and(|tag| tags.contains(tag)),
            Self::Sql(_) => true,
        }
    }

    /// The subscription of a heartbeat; a later version replaces it.
    pub(super) fn subscription(&self, topic: &str, version: i64) -> SubscriptionData {
        let tags = match self {
            Self::Tags { tags, .. } => tags.clone(),
            Self::Sql(_) => BTreeSet::new(),
        };
        SubscriptionData {
            class_filter_mode: false,
            code_set: tags
                .iter()
                .filter_map(|tag| i32::try_from(tags_code(tag)).ok())
                .collect(),
            expression_type: self.expression_type().to_owned(),
            sub_string: self.expression().to_owned(),
            sub_version: version,
            tags_set: tags,
            topic: topic.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert!(Filter::tags("*").matches(None));
        assert!(Filter::tags(" ").matches(Some("x")));
        let two = Filter::tags("a || b");
        assert!(two.matches(Some("a")) && two.matches(Some("b")));
        assert!(!two.matches(Some("c")) && !two.matches(None));
        let subscription = two.subscription("topic", 7);
        assert_eq!((subscription.tags_set.len(), subscription.code_set.len()), (2, 2));
    }

    #[test]
    fn sql_is_left_to_the_broker() {
        let filter = Filter::sql("a > 1").unwrap();
        assert!(filter.matches(None));
        let subscription = filter.subscription("topic", 7);
        assert_eq!(
            (
                subscription.expression_type.as_str(),
                subscription.sub_string.as_str()
            ),
            ("SQL92", "a > 1")
        );
        assert!(Filter::sql("a >").is_err());
    }
}
