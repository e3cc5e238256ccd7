//! The environment layer: `KOUROU_` and the key in capitals.
//!
//! A variable of that prefix that names no key is warned about rather than refused: the environment is not only the
//! user's. Kubernetes, for one, sets `KOUROU_PORT=tcp://...` in every pod beside a service named `kourou`, and even
//! `KOUROU_BROKER_PORT=tcp://...` for a service named `kourou-broker`, so such links never count as settings.

use std::path::PathBuf;

use super::keys::{KEYS, Key};
use super::nearest::nearest;
use super::{Given, Origin};

pub(super) struct Environment {
    pub(super) given: Vec<Given>,
    pub(super) config: Option<PathBuf>,
    pub(super) broker_conf: Option<PathBuf>,
    pub(super) warnings: Vec<String>,
}

const CONFIG: &str = "KOUROU_CONFIG";
const BROKER_CONF: &str = "KOUROU_BROKER_CONF";

/// What RocketMQ's own tools take the name servers from.
pub(crate) const NAMESRV_ADDR: &str = "NAMESRV_ADDR";

pub(super) fn read(variables: &[(String, String)]) -> Environment {
    let mut read = Environment {
        given: Vec::new(),
        config: None,
        broker_conf: None,
        warnings: Vec::new(),
    };
    let known: Vec<(String, &'static Key)> = KEYS.iter().map(|key| (key.variable(), key)).collect();
    // An empty variable is how many launchers say 'not set'.
    for (name, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
        let key = match name.as_str() {
            CONFIG => {
                read.config = Some(text.into());
                continue;
            }
            BROKER_CONF => {
                read.broker_conf = Some(text.into());
                continue;
            }
            _ => known
                .iter()
                .find(|(variable, _)| variable == name)
                .map(|(_, key)| *key),
        };
        let link = ["tcp://", "udp://"].iter().any(|scheme| text.starts_with(scheme));
        match key {
            Some(key) if !link => {
                read.given.push(Given {
                    key,
                    text: text.clone(),
                    origin: Origin::Variable(name.clone()),
                });
            }
            None if name.starts_with("KOUROU_") => {
                let names = known
                    .iter()
                    .map(|(variable, _)| variable.as_str())
                    .chain([CONFIG, BROKER_CONF]);
                let hint = nearest(name, names)
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                read.warnings
                    .push(format!("ignored {name}: no such setting{hint}"));
            }
            _ => {}
        }
    }
    if !read.given.iter().any(|given| given.key.name == "namesrv")
        && let Some((name, text)) = variables
            .iter()
            .find(|(name, text)| name == NAMESRV_ADDR && !text.is_empty())
        && let Some(key) = Key::named("namesrv")
    {
        read.given.push(Given {
            key,
            text: text.clone(),
            origin: Origin::Variable(name.clone()),
        });
    }
    read
}
