//! The layers together.

use std::fs;
use std::path::PathBuf;

use super::keys::{KEYS, Key};
use super::*;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn flag(name: &str, text: &str) -> Given {
    let key = Key::named(name).unwrap();
    Given {
        key,
        text: text.to_owned(),
        origin: Origin::Flag(name.to_owned()),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn every_default_in_the_table_is_the_default_of_the_settings() {
    let mut settings = Settings::default();
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        (key.set)(&mut settings, key.default).unwrap();
    }
    assert_eq!(settings, Settings::default());
}

#[test]
fn every_key_refuses_what_it_does_not_take() {
    for key in KEYS {
        let mut settings = Settings::default();
        // A file can have any name but none.
        let is_path = matches!(key.name, "data" | "tls-cert" | "tls-key");
        let wrong = if is_path { "" } else { "no such=!" };
        let expected = (key.set)(&mut settings, wrong).unwrap_err();
        assert!(!expected.is_empty(), "{}", key.name);
        assert_eq!(settings, Settings::default(), "{} stored a wrong value", key.name);
    }
}

#[test]
fn the_later_layer_wins() {
    let files = Files::new();
    let conf = files.write(
        "broker.conf",
        "listenPort = 1\nbrokerName = conf\nbrokerClusterName = conf\nflushDiskType = ASYNC_FLUSH",
    );
    let toml = files.write(
        "kourou.toml",
        "broker-port = 2\nbroker-name = \"toml\"\ncluster = 'toml'\n",
    );
    let sources = |environment: &[(&str, &str)], flags: Vec<Given>| Sources {
        config: Some(toml.clone()),
        broker_conf: Some(conf.clone()),
        environment: variables(environment),
        flags,
    };
    let all = resolve(sources(
        &[
            ("KOUROU_BROKER_PORT", "3"),
            ("KOUROU_BROKER_NAME", "env"),
            ("PATH", "/bin"),
        ],
        vec![flag("broker-port", "4")],
    ))
    .unwrap();
    assert_eq!(all.warnings, [""; 0]);
    let settings = all.settings;
    assert_eq!(settings.broker_port, 4);
    assert_eq!(settings.broker_name, "env");
    assert_eq!(settings.cluster, "toml");
    assert_eq!(settings.flush, FlushMode::Relaxed);
    assert_eq!(settings.namesrv_port, 9876);
}

#[test]
fn the_environment_can_name_the_files() {
    let files = Files::new();
    let toml = files.write("kourou.toml", "flush = \"relaxed\"");
    let environment = vec![("KOUROU_CONFIG".to_owned(), toml.display().to_string())];
    let resolved = resolve(Sources {
        environment,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(resolved.settings.flush, FlushMode::Relaxed);
}

fn toml_error(text: &str) -> String {
    let files = Files::new();
    let path = files.write("kourou.toml", text);
    let error = resolve(Sources {
        config: Some(path.clone()),
        ..Sources::default()
    })
    .unwrap_err()
    .to_string();
    error.replace(&path.display().to_string(), "kourou.toml")
}

#[test]
fn a_wrong_file_says_where_and_what_instead() {
    assert_eq!(
        toml_error("# ports\nbroker_port = 1\n"),
        "kourou.toml:2: there is no key 'broker_port'; did you mean 'broker-port'?"
    );
    assert_eq!(
        toml_error("listenPort = 1\n"),
        "kourou.toml:1: there is no key 'listenPort'; did you mean 'broker-port'?"
    );
    assert_eq!(
        toml_error("replication = 3\n"),
        "kourou.toml:1: there is no key 'replication'; docs/configuration.md lists them"
    );
    assert_eq!(
        toml_error("\nbroker-port = 70000\n"),
        "kourou.toml:2: broker-port: '70000' does not fit; broker-port takes a port, 0 to 65535"
    );
    assert_eq!(
        toml_error("[broker]\nport = 1\n"),
        "kourou.toml:1: there is no key 'broker'; docs/configuration.md lists them"
    );
    assert_eq!(
        toml_error("broker-port = [1]\n"),
        "kourou.toml:1: broker-port is a array; it takes a string, a number or true/false"
    );
    assert!(toml_error("flush = \n").starts_with("kourou.toml:1: "));
}

#[test]
fn how_long_messages_are_kept_is_said_as_apache_says_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    let text = "fileReservedTime=48\ncleanFileForciblyEnable=FALSE\ndiskMaxUsedSpaceRatio=88\ndiskSpaceCleanForciblyRatio=90\n\
                deleteWhen=04\n";
    fs::write(&path, text).unwrap();
    let resolved = resolve(Sources {
        broker_conf: Some(path),
        ..Sources::default()
    })
    .unwrap();
    let settings = Settings {
        retention_hours: 48,
        disk_retention: false,
        disk_urgent_percent: 88,
        disk_full_percent: 90,
        ..Settings::default()
    };
    assert_eq!(resolved.settings, settings);
}

#[test]
fn wrong_flags_and_variables_are_named() {
    let wrong_flag = Sources {
        flags: vec![flag("flush", "sometimes")],
        ..Sources::default()
    };
    assert_eq!(
        resolve(wrong_flag).unwrap_err().to_string(),
        "--flush: 'sometimes' does not fit; flush takes durable or relaxed"
    );
    let wrong_variable = Sources {
        environment: variables(&[("KOUROU_BIND", "localhost")]),
        ..Sources::default()
    };
    assert_eq!(
        resolve(wrong_variable).unwrap_err().to_string(),
        "KOUROU_BIND: 'localhost' does not fit; bind takes an IP address"
    );
    let absent = Sources {
        config: Some("/no/such.toml".into()),
        ..Sources::default()
    };
    assert!(
        resolve(absent)
            .unwrap_err()
            .to_string()
            .starts_with("cannot read /no/such.toml: ")
    );
}

#[test]
fn stray_variables_are_warned_about_and_service_links_are_not_settings() {
    let environment = variables(&[
        ("KOUROU_BROKERPORT", "1"),
        ("KOUROU_BROKER_PORT", "tcp://10.0.0.1:10911"),
        ("KOUROU_FLUSH", ""),
    ]);
    let resolved = resolve(Sources {
        environment,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(resolved.settings, Settings::default());
    assert_eq!(
        resolved.warnings,
        ["ignored KOUROU_BROKERPORT: no such setting; did you mean KOUROU_BROKER_PORT?"]
    );
}

#[test]
fn name_servers_come_from_rocketmqs_variable_too() {
    let resolved = |pairs: &[(&str, &str)]| {
        resolve(Sources {
            environment: variables(pairs),
            ..Sources::default()
        })
        .unwrap()
        .settings
        .namesrv
    };
    let names = |list: Vec<address::HostPort>| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(resolved(&[("NAMESRV_ADDR", "a:1;b:2")])), ["a:1", "b:2"]);
    assert_eq!(
        names(resolved(&[("NAMESRV_ADDR", "a:1"), ("KOUROU_NAMESRV", "c:3")])),
        ["c:3"]
    );
}
