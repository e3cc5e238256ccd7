//! Topic attributes, and the text that changes them: `+name=value,-name`.

use std::collections::BTreeMap;

use thiserror::Error;

use super::message_type::{MESSAGE_TYPE, MessageType};
use crate::flow;
use crate::lite::EXPIRATION as LITE_TOPIC_EXPIRATION;

/// Why attributes cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// A part of the text is neither `+name=value` nor `-name`.
    #[error("attribute change {part:?} is neither +name=value nor -name")]
    Syntax {
        /// The part.
        part: String,
    },
    /// There is no such attribute.
    #[error("unsupported key: {name}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The attribute does not take that value.
    #[error("value is not in allowed set or range: {name}={value}")]
    Value {
        /// Its name.
        name: String,
        /// The value.
        value: String,
    },
    /// The attribute is set once, when the topic is made.
    #[error("attempt to update an unchangeable attribute. key: {name}")]
    Unchangeable {
        /// Its name.
        name: String,
    },
    /// The value asks for what this broker does not do.
    #[error("{name}={value} is not served by this broker")]
    NotServed {
        /// Its name.
        name: String,
        /// The value.
        value: String,
    },
    /// The same attribute twice.
    #[error("kv string duplication: {name}")]
    Duplicate {
        /// Its name.
        name: String,
    },
}

/// Changes of attributes: what to set and what to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributeChanges {
    changes: BTreeMap<String, Option<String>>,
}

impl AttributeChanges {
    /// Parses `+name=value,-name`.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let mut changes = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let syntax = || AttributeError::Syntax {
                part: part.to_owned(),
            };
            let (name, value) = match (part.strip_prefix('+'), part.strip_prefix('-')) {
                (Some(set), _) => {
                    let (name, value) = set.split_once('=').ok_or_else(syntax)?;
                    (name, Some(value.to_owned()))
                }
                (_, Some(name)) if !name.contains('=') => (name, None),
                _ => return Err(syntax()),
            };
            if name.is_empty() || value.as_deref() == Some("") {
                return Err(syntax());
            }
            if changes.insert(name.to_owned(), value).is_some() {
                return Err(AttributeError::Duplicate {
                    name: name.to_owned(),
                });
            }
        }
        Ok(Self { changes })
    }

    /// The attributes of a topic after these changes; `current` is `None` for a new topic.
    pub(crate) fn apply(
        &self,
        current: Option<&BTreeMap<String, String>>,
    ) -> Result<BTreeMap<String, String>, AttributeError> {
        let mut after = current.cloned().unwrap_or_default();
        for (name, value) in &self.changes {
            check(name, value.as_deref())?;
            let changeable = matches!(name.as_str(), MESSAGE_TYPE | RESERVE_TIME | LITE_TOPIC_EXPIRATION)
                || flow::is_quota(name);
            if current.is_some() && !changeable && after.get(name) != value.as_ref() {
                return Err(AttributeError::Unchangeable { name: name.clone() });
            }
            match value {
                Some(value) => after.insert(name.clone(), value.clone()),
                None => after.remove(name),
            };
        }
        Ok(after)
    }
}

/// What the topic's queues count.
pub(super) const QUEUE_TYPE: &str = "queue.type";
/// Queues in which a batch may be one record.
pub(super) const BATCH_QUEUE: &str = "BatchCQ";
/// How long messages are kept, as far as the segments that they are in are.
const RESERVE_TIME: &str = "reserve.time";

fn check(name: &str, value: Option<&str>) -> Result<(), AttributeError> {
    // Plain deletion is what there is; accepting the other would promise something else.
    let (allowed, served): (&[&str], &[&str]) = match name {
        MESSAGE_TYPE => {
            return match value {
                Some(value) if MessageType::named(value).is_none() => Err(AttributeError::Value {
                    name: name.to_owned(),
                    value: value.to_owned(),
                }),
                _ => Ok(()),
            };
        }
        _ if flow::is_quota(name) => return value.map_or(Ok(()), |value| flow::check(name, value)),
        QUEUE_TYPE => (&["SimpleCQ", BATCH_QUEUE], &["SimpleCQ", BATCH_QUEUE]),
        "cleanup.policy" => (&["DELETE", "COMPACTION"], &["DELETE"]),
        RESERVE_TIME | LITE_TOPIC_EXPIRATION => {
            return match value {
                Some(value) if value.parse::<i64>().is_err() => Err(AttributeError::Value {
                    name: name.to_owned(),
                    value: value.to_owned(),
                }),
                _ => Ok(()),
            };
        }
        _ => {
            return Err(AttributeError::Unknown {
                name: name.to_owned(),
            });
        }
    };
    match value {
        Some(value) if !allowed.contains(&value) => Err(AttributeError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        Some(value) if !served.contains(&value) => Err(AttributeError::NotServed {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str, current: Option<&[(&str, &str)]>) -> Result<Vec<(String, String)>, AttributeError> {
        let current = current.map(|pairs| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        });
        Ok(AttributeChanges::parse(text)?
            .apply(current.as_ref())?
            .into_iter()
            .collect())
    }

    #[test]
    fn sets_and_removes() {
        let fifo = vec![("message.type".to_owned(), "FIFO".to_owned())];
        assert_eq!(change("+message.type=FIFO", None), Ok(fifo.clone()));
        assert_eq!(
            change("+message.type=FIFO,+reserve.time=5", None).map(|all| all.len()),
            Ok(2)
        );
        assert_eq!(
            change(
                "-reserve.time",
                Some(&[("message.type", "FIFO"), ("reserve.time", "5")])
            ),
            Ok(fifo)
        );
        assert_eq!(change("", None), Ok(vec![]));
    }

    #[test]
    fn refuses_by_name() {
        let named = |name: &str| name.to_owned();
        assert!(matches!(
            change("message.type=FIFO", None),
            Err(AttributeError::Syntax { .. })
        ));
        assert!(matches!(
            change("+message.type", None),
            Err(AttributeError::Syntax { .. })
        ));
        assert_eq!(
            change("+colour=red", None),
            Err(AttributeError::Unknown {
                name: named("colour")
            })
        );
        assert!(matches!(
            change("+message.type=BLUE", None),
            Err(AttributeError::Value { .. })
        ));
        assert!(matches!(
            change("+quota.send.bytes=0", None),
            Err(AttributeError::Value { .. })
        ));
        assert_eq!(change("+queue.type=BatchCQ", None).map(|all| all.len()), Ok(1));
        assert!(matches!(
            change("+cleanup.policy=COMPACTION", None),
            Err(AttributeError::NotServed { .. })
        ));
        assert!(matches!(
            change("+reserve.time=soon", None),
            Err(AttributeError::Value { .. })
        ));
        assert_eq!(
            change("+queue.type=SimpleCQ", Some(&[])),
            Err(AttributeError::Unchangeable {
                name: named("queue.type")
            })
        );
        assert_eq!(
            change("+reserve.time=1,-reserve.time", None),
            Err(AttributeError::Duplicate {
                name: named("reserve.time")
            })
        );
    }
}
