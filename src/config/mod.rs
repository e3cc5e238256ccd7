//! What a server part is told: defaults, then an Apache `broker.conf`, then a TOML file, then the environment, then flags;
//! the later layer wins. Every layer is read into the same list of texts with their origin, and each text is parsed by the
//! one table in [`keys`], so that a wrong value is reported the same way wherever it came from.

pub(crate) mod address;
mod broker_conf;
mod environment;
mod error;
pub(crate) mod keys;
mod nearest;
#[cfg(test)]
mod reference;
mod settings;
#[cfg(test)]
mod tests;
mod toml_file;

use std::path::PathBuf;

pub(crate) use error::{ConfigError, Origin};
pub(crate) use settings::{FlushMode, LogFormat, Settings};

use keys::Key;

/// One setting as some layer has it: not parsed yet.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) key: &'static Key,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// Where the layers come from. The environment and the flags are arguments so that tests need no process of their own.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// `--config`; when absent, `KOUROU_CONFIG` is looked at.
    pub(crate) config: Option<PathBuf>,
    /// `--broker-conf`; when absent, `KOUROU_BROKER_CONF` is looked at.
    pub(crate) broker_conf: Option<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) flags: Vec<Given>,
}

/// The outcome of [`resolve`].
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) settings: Settings,
    /// What deserves a log line but stops nothing.
    pub(crate) warnings: Vec<String>,
}

/// Reads every layer and lets the later one win.
///
/// # Errors
/// A file that cannot be read or parsed, a key that nobody knows, a value that its key does not take.
pub(crate) fn resolve(sources: Sources) -> Result<Resolved, ConfigError> {
    let environment = environment::read(&sources.environment);
    let mut warnings = environment.warnings;
    let mut settings = Settings::default();

    let mut layers: Vec<Vec<Given>> = Vec::new();
    if let Some(path) = sources.broker_conf.or(environment.broker_conf) {
        let read = broker_conf::read(&path)?;
        warnings.extend(read.ignored_line());
        layers.push(read.given);
    }
    if let Some(path) = sources.config.or(environment.config) {
        layers.push(toml_file::read(&path)?);
    }
    layers.push(environment.given);
    layers.push(sources.flags);

    for given in layers.into_iter().flatten() {
        (given.key.set)(&mut settings, &given.text).map_err(|expected| ConfigError::Value {
            origin: given.origin,
            key: given.key.name,
            found: given.text,
            expected,
        })?;
    }
    Ok(Resolved { settings, warnings })
}
