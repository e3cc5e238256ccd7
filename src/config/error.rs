//! What can be wrong with a configuration, in one line each: where, what, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(String),
    Variable(String),
    Line {
        path: PathBuf,
        line: usize,
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::Line { path, line, name } => write!(f, "{}:{line}: {name}", path.display()),
        }
    }
}

/// Why there is no configuration to start with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("{origin}: '{found}' does not fit; {key} takes {expected}")]
    Value {
        origin: Origin,
        key: &'static str,
        found: String,
        expected: &'static str,
    },

    #[error("{}:{line}: there is no key '{name}'{}", .path.display(), hint(.nearest.as_deref()))]
    UnknownKey {
        path: PathBuf,
        line: usize,
        name: String,
        nearest: Option<String>,
    },

    #[error("{origin} = {found}: {reason}")]
    Refused {
        origin: Origin,
        found: String,
        reason: &'static str,
    },

    #[error("{}:{line}: {reason}", .path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        reason: String,
    },

    #[error("a broker alone needs name servers to register with: -n HOST:PORT (or NAMESRV_ADDR)")]
    NoNameServer,

    #[error("{given} needs {missing} beside it: a certificate and its key come together")]
    HalfOfTls {
        given: &'static str,
        missing: &'static str,
    },

    #[error("cannot read {}: {source}", .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; docs/configuration.md lists them".to_owned(),
        |name| format!("; did you mean '{name}'?"),
    )
}

/// The most that a configuration file may hold; read before it is parsed, so it is bounded first.
pub(super) const FILE_SIZE_BYTES_MAX: u64 = 1024 * 1024;

/// The text of a configuration file.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    use std::io::{Error, ErrorKind, Read};
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(FILE_SIZE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_SIZE_BYTES_MAX {
        return Err(unreadable(Error::new(
            ErrorKind::FileTooLarge,
            "larger than 1 MiB",
        )));
    }
    Ok(text)
}
