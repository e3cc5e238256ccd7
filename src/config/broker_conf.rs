//! Apache's `broker.conf`: the properties that mean something here are taken, the others that Apache's broker knows are
//! named in one line, and a name that it does not know either is refused.
//!
//! Three kinds of property are not passed over in silence, because a broker that ignored them would not be what its
//! operator thinks it is: the role of a replica, replication by a controller or a Raft log, and access control.

use std::path::Path;

use super::error::{ConfigError, read_text};
use super::keys::{KEYS, Key};
use super::nearest::nearest;
use super::{Given, Origin};

/// Every property of Apache's broker, store and network configuration, releases 4.9 to 5.5; one a line, sorted.
const APACHE_NAMES: &str = include_str!("apache_keys.txt");

pub(super) struct BrokerConf {
    pub(super) given: Vec<Given>,
    /// Known to Apache's broker, without a meaning here.
    pub(super) ignored: Vec<String>,
    path: std::path::PathBuf,
}

impl BrokerConf {
    /// The one line that names what was passed over.
    pub(super) fn ignored_line(&self) -> Option<String> {
        (!self.ignored.is_empty()).then(|| {
            format!(
                "{}: without a meaning here, ignored: {}",
                self.path.display(),
                self.ignored.join(", ")
            )
        })
    }
}

pub(super) fn read(path: &Path) -> Result<BrokerConf, ConfigError> {
    parse(path, &read_text(path)?)
}

fn parse(path: &Path, text: &str) -> Result<BrokerConf, ConfigError> {
    let mut conf = BrokerConf {
        given: Vec::new(),
        ignored: Vec::new(),
        path: path.to_owned(),
    };
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let Some((name, value)) = line.split_once(['=', ':']) else {
            return Err(ConfigError::Syntax {
                path: path.to_owned(),
                line: line_number,
                reason: format!("'{line}' is not a property: name = value"),
            });
        };
        let (name, value) = (name.trim(), value.trim());
        let origin = Origin::Line {
            path: path.to_owned(),
            line: line_number,
            name: name.to_owned(),
        };
        if let Some(key) = KEYS.iter().find(|key| key.apache == Some(name)) {
            conf.given.push(Given {
                key,
                text: translate(key, value),
                origin,
            });
        } else if let Some(reason) = refusal(name, value) {
            return Err(ConfigError::Refused {
                origin,
                found: value.to_owned(),
                reason,
            });
        } else if known(name) {
            conf.ignored.push(name.to_owned());
        } else {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                line: line_number,
                name: name.to_owned(),
                nearest: nearest(name, APACHE_NAMES.lines()).map(str::to_owned),
            });
        }
    }
    Ok(conf)
}

/// Apache's words for a value, in ours; a word that is neither goes on to the key's own error.
fn translate(key: &Key, value: &str) -> String {
    match (key.name, value) {
        ("flush", "SYNC_FLUSH") => "durable",
        ("flush", "ASYNC_FLUSH") => "relaxed",
        ("auto-create-topics" | "auto-create-groups" | "disk-retention", "TRUE" | "True") => "true",
        ("auto-create-topics" | "auto-create-groups" | "disk-retention", "FALSE" | "False") => "false",
        _ => value,
    }
    .to_owned()
}

fn refusal(name: &str, value: &str) -> Option<&'static str> {
    let on = value.eq_ignore_ascii_case("true");
    match name {
        "brokerRole" if value == "SLAVE" => Some("this version does not replicate; run one broker a name"),
        "brokerId" if value != "0" => Some("this version does not replicate; a broker's id is 0"),
        "enableControllerMode" | "enableDLegerCommitLog" if on => {
            Some("this version does not replicate; remove the line to run on one machine")
        }
        "aclEnable" | "authenticationEnabled" | "authorizationEnabled" if on => {
            Some("this version has no access control; remove the line to run without")
        }
        _ => None,
    }
}

fn known(name: &str) -> bool {
    APACHE_NAMES.lines().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BrokerConf, String> {
        parse(Path::new("broker.conf"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_that_apache_ships_is_taken() {
        let conf = read(
            "# a comment\n\nbrokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = 0\ndeleteWhen = 04\n\
             fileReservedTime = 48\nbrokerRole = ASYNC_MASTER\nflushDiskType = ASYNC_FLUSH\n",
        )
        .unwrap();
        let given: Vec<_> = conf
            .given
            .iter()
            .map(|given| (given.key.name, given.text.as_str()))
            .collect();
        assert_eq!(
            given,
            [
                ("cluster", "DefaultCluster"),
                ("broker-name", "broker-a"),
                ("retention-hours", "48"),
                ("flush", "relaxed")
            ]
        );
        assert_eq!(
            conf.ignored_line().unwrap(),
            "broker.conf: without a meaning here, ignored: brokerId, deleteWhen, brokerRole"
        );
    }

    #[test]
    fn what_would_change_the_promise_is_refused() {
        for (line, says) in [
            ("brokerRole=SLAVE", "replicate"),
            ("brokerId=1", "replicate"),
            ("enableControllerMode=true", "replicate"),
            ("aclEnable = true", "access control"),
            ("authenticationEnabled=TRUE", "access control"),
        ] {
            let error = read(line).err().unwrap();
            assert!(error.contains(says), "{error}");
        }
        assert!(read("aclEnable=false\nbrokerRole=SYNC_MASTER").is_ok());
    }

    #[test]
    fn a_name_that_apache_does_not_know_is_refused_with_its_line() {
        assert_eq!(
            read("\nbrokerNmae = a").err().unwrap(),
            "broker.conf:2: there is no key 'brokerNmae'; did you mean 'brokerName'?"
        );
        assert_eq!(
            read("nonsense").err().unwrap(),
            "broker.conf:1: 'nonsense' is not a property: name = value"
        );
    }

    #[test]
    fn the_table_of_names_is_sorted_and_holds_every_name_we_map() {
        assert!(APACHE_NAMES.lines().is_sorted());
        for name in KEYS.iter().filter_map(|key| key.apache) {
            assert!(known(name), "{name}");
        }
    }
}
