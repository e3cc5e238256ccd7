//! Which queues are whose, and which messages are wanted.

use std::collections::BTreeSet;

/// The share of the member at `index` of `members`, as every client of a group computes it: neighbouring queues,
/// the first members one more where it does not come out even.
pub(super) fn average<T: Clone>(queues: &[T], members: usize, index: usize) -> Vec<T> {
    let (each, over) = (queues.len() / members.max(1), queues.len() % members.max(1));
    let start = index * each + index.min(over);
    let count = each + usize::from(index < over);
    queues.iter().skip(start).take(count).cloned().collect()
}

/// A tag expression: `*`, or tags joined by `||`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagFilter {
    pub(super) expression: String,
    /// Empty: every message.
    pub(super) tags: BTreeSet<String>,
}

impl TagFilter {
    pub(super) fn parse(expression: &str) -> Self {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Self {
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
        Self {
            expression: expression.to_owned(),
            tags,
        }
    }

    /// Brokers compare hashes; the last word is the client's.
    pub(super) fn matches(&self, tag: Option<&str>) -> bool {
        self.tags.is_empty() || tag.is_some_and(|tag| self.tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_one_owner() {
        for queue_count in 0..20_usize {
            let queues: Vec<usize> = (0..queue_count).collect();
            for members in 1..8 {
                let shares: Vec<Vec<usize>> = (0..members)
                    .map(|index| average(&queues, members, index))
                    .collect();
                assert_eq!(shares.concat(), queues);
                let sizes: Vec<usize> = shares.iter().map(Vec::len).collect();
                assert!(sizes.is_sorted_by(|a, b| a >= b && a - b <= 1), "{sizes:?}");
            }
        }
    }

    #[test]
    fn tags() {
        assert!(TagFilter::parse("*").matches(None));
        assert!(TagFilter::parse(" ").matches(Some("x")));
        let two = TagFilter::parse("a || b");
        assert!(two.matches(Some("a")) && two.matches(Some("b")));
        assert!(!two.matches(Some("c")) && !two.matches(None));
    }
}
