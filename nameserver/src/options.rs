//! Behaviour that an operator can switch, with the names and defaults of Apache's name server.

use crate::error::SettingError;
use crate::limits::Limits;

/// What the name server does where deployments differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Routes carry the order configuration of their topic (`orderMessageEnable`).
    pub order_message: bool,
    /// A registration is answered with all order configurations (`returnOrderTopicConfigToBroker`).
    pub return_order_conf_to_broker: bool,
    /// Routes present the lowest slave as master while there is none (`supportActingMaster`).
    pub acting_master: bool,
    /// The list of all topics may be asked for (`enableAllTopicList`).
    pub all_topic_list: bool,
    /// The other topic lists may be asked for (`enableTopicList`).
    pub topic_list: bool,
    /// A full registration drops the topics it no longer names (`deleteTopicWithBrokerRegistration`).
    pub delete_topic_with_registration: bool,
    /// Sizes that cannot be changed while running.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            order_message: false,
            return_order_conf_to_broker: true,
            acting_master: false,
            all_topic_list: true,
            topic_list: true,
            delete_topic_with_registration: false,
            limits: Limits::default(),
        }
    }
}

/// Keys that decide where a name server keeps its files; never changed from outside.
const FORBIDDEN: [&str; 3] = ["configBlackList", "configStorePath", "kvConfigPath"];

impl Options {
    /// The switches by their configuration names, in the order they are printed.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, bool); 6] {
        [
            ("orderMessageEnable", self.order_message),
            ("returnOrderTopicConfigToBroker", self.return_order_conf_to_broker),
            ("supportActingMaster", self.acting_master),
            ("enableAllTopicList", self.all_topic_list),
            ("enableTopicList", self.topic_list),
            (
                "deleteTopicWithBrokerRegistration",
                self.delete_topic_with_registration,
            ),
        ]
    }

    /// Sets one switch by its configuration name. Unknown names are ignored, as Apache's tools expect: they send
    /// whole property files.
    ///
    /// # Errors
    ///
    /// [`SettingError::Forbidden`] for the keys that name files, [`SettingError::NotABool`] for other values.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        if FORBIDDEN.contains(&key) {
            return Err(SettingError::Forbidden { key: key.to_owned() });
        }
        let slot = match key {
            "orderMessageEnable" => &mut self.order_message,
            "returnOrderTopicConfigToBroker" => &mut self.return_order_conf_to_broker,
            "supportActingMaster" => &mut self.acting_master,
            "enableAllTopicList" => &mut self.all_topic_list,
            "enableTopicList" => &mut self.topic_list,
            "deleteTopicWithBrokerRegistration" => &mut self.delete_topic_with_registration,
            _ => return Ok(()),
        };
        *slot = match value.trim() {
            v if v.eq_ignore_ascii_case("true") => true,
            v if v.eq_ignore_ascii_case("false") => false,
            _ => {
                return Err(SettingError::NotABool {
                    key: key.to_owned(),
                    value: value.to_owned(),
                });
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_known_switches_and_ignores_unknown_ones() {
        let mut options = Options::default();
        options.set("orderMessageEnable", "TRUE").unwrap();
        options.set("serverWorkerThreads", "8").unwrap();
        assert!(options.order_message);
        assert_eq!(options.settings()[0], ("orderMessageEnable", true));
    }

    #[test]
    fn refuses_file_keys_and_other_values() {
        let mut options = Options::default();
        assert!(matches!(
            options.set("kvConfigPath", "/tmp/x"),
            Err(SettingError::Forbidden { .. })
        ));
        assert!(matches!(
            options.set("enableTopicList", "maybe"),
            Err(SettingError::NotABool { .. })
        ));
        assert!(options.topic_list);
    }
}
