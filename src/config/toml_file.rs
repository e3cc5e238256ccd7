//! The TOML layer: one flat table whose keys are the flags without their dashes.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, read_text};
use super::keys::{KEYS, Key};
use super::nearest::nearest;
use super::{Given, Origin};

pub(super) fn read(path: &Path) -> Result<Vec<Given>, ConfigError> {
    parse(path, &read_text(path)?)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Given>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        reason: error.message().to_owned(),
    })?;
    table
        .get_ref()
        .iter()
        .map(|(name, value)| entry(path, text, name.get_ref(), name.span().start, value))
        .collect()
}

fn entry(
    path: &Path,
    text: &str,
    name: &str,
    start: usize,
    value: &Spanned<DeValue<'_>>,
) -> Result<Given, ConfigError> {
    let line = line_of(text, start);
    let key = Key::named(name).ok_or_else(|| ConfigError::UnknownKey {
        path: path.to_owned(),
        line,
        name: name.to_owned(),
        nearest: suggestion(name),
    })?;
    let text = match value.get_ref() {
        DeValue::String(string) => string.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        other => {
            return Err(ConfigError::Syntax {
                path: path.to_owned(),
                line,
                reason: format!(
                    "{name} is a {}; it takes a string, a number or true/false",
                    other.type_str()
                ),
            });
        }
    };
    Ok(Given {
        key,
        text,
        origin: Origin::Line {
            path: path.to_owned(),
            line,
            name: name.to_owned(),
        },
    })
}

/// Someone who knows `broker.conf` may write its names here.
fn suggestion(name: &str) -> Option<String> {
    KEYS.iter()
        .find(|key| key.apache == Some(name))
        .map(|key| key.name)
        .or_else(|| nearest(name, KEYS.iter().map(|key| key.name)))
        .map(str::to_owned)
}

fn line_of(text: &str, position: usize) -> usize {
    1 + text.bytes().take(position).filter(|byte| *byte == b'\n').count()
}
