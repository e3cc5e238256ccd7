//! `kourou group create`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use kourou_broker::name;
use kourou_proto::body::SubscriptionGroupConfig;
use kourou_proto::remoting::request::GroupHeader;
use kourou_proto::{Command, RequestCode, ResponseCode};
use serde::Serialize;

use super::cluster::{Cluster, masters, request};
use crate::cli::{GroupChanges, Target};
use crate::output::{print_json, print_line};

#[derive(Debug, Serialize)]
struct CreatedJson<'a> {
    group: &'a str,
    brokers: Vec<&'a str>,
}

/// Makes a group on every broker, or changes what is said and leaves the rest as it is.
pub(super) async fn create(group: &str, changes: &GroupChanges, target: &Target) -> Result<()> {
    name::check_group(group).with_context(|| format!("group '{group}'"))?;
    let cluster = Cluster::of(target);
    let info = cluster.info().await?;
    let masters = masters(&info)?;
    for (_, address) in &masters {
        let ask = request(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, &GroupHeader { group });
        let none = [ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST];
        let mut config = match cluster.call_unless(address, ask, &none).await? {
            Some(answer) => SubscriptionGroupConfig::decode(&answer.body)?,
            None => SubscriptionGroupConfig::default(),
        };
        group.clone_into(&mut config.group_name);
        changes.apply(&mut config);
        let put = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 0);
        cluster.call(address, put.with_body(config.encode())).await?;
    }
    let brokers: Vec<&str> = masters.iter().map(|(name, _)| *name).collect();
    if target.json {
        return print_json(&CreatedJson { group, brokers });
    }
    print_line(&format!("{group} on {}", brokers.join(", ")))
}

impl GroupChanges {
    fn apply(&self, config: &mut SubscriptionGroupConfig) {
        config.retry_max_times = self.retries.unwrap_or(config.retry_max_times);
        config.consume_message_orderly = self.in_order.unwrap_or(config.consume_message_orderly);
        config.attributes = self.attributes();
    }

    /// Changes of attributes, as brokers read them.
    fn attributes(&self) -> BTreeMap<String, String> {
        let model = |is_exclusive: bool| if is_exclusive { "Exclusive" } else { "Shared" };
        let changes = [
            ("+lite.bind.topic", self.lite_topics_of.clone()),
            (
                "+lite.sub.model",
                self.lite_exclusive.map(|is| model(is).to_owned()),
            ),
            (
                "+lite.sub.client.quota",
                self.lite_quota.map(|quota| quota.to_string()),
            ),
        ];
        let said = changes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays() {
        let mut config = SubscriptionGroupConfig {
            retry_max_times: 3,
            consume_message_orderly: true,
            attributes: [("lite.sub.model".to_owned(), "Exclusive".to_owned())].into(),
            ..SubscriptionGroupConfig::default()
        };
        let mut changes = GroupChanges {
            retries: None,
            in_order: None,
            lite_topics_of: Some("t".to_owned()),
            lite_exclusive: None,
            lite_quota: Some(7),
        };
        changes.apply(&mut config);
        assert_eq!(
            (config.retry_max_times, config.consume_message_orderly),
            (3, true)
        );
        let said: Vec<_> = config.attributes.into_iter().collect();
        let expected = [("+lite.bind.topic", "t"), ("+lite.sub.client.quota", "7")];
        assert_eq!(
            said,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        changes.lite_exclusive = Some(false);
        assert_eq!(
            changes.attributes().get("+lite.sub.model").map(String::as_str),
            Some("Shared")
        );
    }
}
