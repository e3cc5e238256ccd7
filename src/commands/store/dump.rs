//! `kourou store dump`: the records themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stdout};
use std::ops::ControlFlow;

use anyhow::Result;
use kourou_engine::record::{RecordView, STATE_TOPIC};
use kourou_engine::verify::Seen;
use serde::Serialize;

use super::{Outcome, closed};
use crate::cli::store::{Body, Place, Wanted};
use crate::output::Paint;

#[derive(Debug, Serialize)]
struct RecordJson<'a> {
    position: u64,
    size_bytes: u32,
    kind: &'a str,
    topic: &'a str,
    queue: u32,
    offset: u64,
    store_ms: i64,
    born_ms: i64,
    born_host: String,
    sys_flag: i32,
    flag: i32,
    reconsume_times: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_position: Option<i64>,
    properties: BTreeMap<&'a str, &'a str>,
    body_size_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[derive(Debug, Serialize)]
struct DamageJson {
    damaged: bool,
    file: String,
    offset: u64,
    position: u64,
    size_bytes: u64,
    found: String,
}

pub(super) fn run(place: &Place, wanted: &Wanted) -> Result<Outcome> {
    let store = closed(&place.dir)?;
    let mut print = Print {
        out: stdout().lock(),
        json: place.json || !stdout().is_terminal(),
        paint: Paint::stdout(),
        wanted,
        left: wanted.count.unwrap_or(u64::MAX),
        has_damage: false,
        failed: None,
    };
    store.walk(wanted.from_position, &mut |seen| print.see(&seen))?;
    if let Some(error) = print.failed {
        return Err(error);
    }
    print.out.flush()?;
    Ok(if print.has_damage {
        Outcome::Findings
    } else {
        Outcome::Clean
    })
}

struct Print<'a, W> {
    out: W,
    json: bool,
    paint: Paint,
    wanted: &'a Wanted,
    left: u64,
    has_damage: bool,
    failed: Option<anyhow::Error>,
}

impl<W: Write> Print<'_, W> {
    fn see(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        let line = match seen {
            Seen::Record { record, .. } if !self.wants(record) => return ControlFlow::Continue(()),
            Seen::Record { position, record } => {
                self.left -= 1;
                self.record(*position, record)
            }
            Seen::Damaged {
                file,
                offset,
                position,
                size_bytes,
                found,
            } => {
                self.has_damage = true;
                self.damage(&DamageJson {
                    damaged: true,
                    file: file.display().to_string(),
                    offset: *offset,
                    position: *position,
                    size_bytes: *size_bytes,
                    found: found.clone(),
                })
            }
            _ => return ControlFlow::Continue(()),
        };
        let written = line.and_then(|line| Ok(writeln!(self.out, "{line}")?));
        match written {
            Ok(()) if self.left > 0 => ControlFlow::Continue(()),
            Ok(()) => ControlFlow::Break(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn wants(&self, record: &RecordView<'_>) -> bool {
        let Wanted {
            topic, queue, from, ..
        } = self.wanted;
        topic.as_ref().is_none_or(|topic| topic == record.topic())
            && queue.is_none_or(|queue| queue == record.queue_id())
            && from.is_none_or(|from| record.queue_offset() >= from)
    }

    fn record(&self, position: u64, record: &RecordView<'_>) -> Result<String> {
        let kind = kind(record);
        let body = match self.wanted.body {
            Body::Text => Some(String::from_utf8_lossy(record.body()).into_owned()),
            Body::Hex => Some(hex(record.body())),
            Body::None => None,
        };
        if self.json {
            let ends = record.prepared_transaction_offset();
            return Ok(serde_json::to_string(&RecordJson {
                position,
                size_bytes: record.size_bytes(),
                kind: &kind,
                topic: record.topic(),
                queue: record.queue_id(),
                offset: record.queue_offset(),
                store_ms: record.store_ms(),
                born_ms: record.born_ms(),
                born_host: record.born_host().to_string(),
                sys_flag: record.sys_flag(),
                flag: record.flag(),
                reconsume_times: record.reconsume_times(),
                ends_position: (ends > 0).then_some(ends),
                properties: properties(record.properties()),
                body_size_bytes: record.body().len(),
                body,
            })?);
        }
        let place = if record.indexed() && record.topic() != STATE_TOPIC {
            format!(
                "{} {}:{}",
                record.topic(),
                record.queue_id(),
                record.queue_offset()
            )
        } else {
            kind
        };
        let size = record.body().len();
        let head = self.paint.dim(&format!("{position:>12}"));
        Ok(match body {
            Some(body) if record.topic() != STATE_TOPIC || self.wanted.body == Body::Hex => {
                format!("{head}  {}  {body}", self.paint.bold(&place))
            }
            _ => format!("{head}  {}  {size} bytes", self.paint.bold(&place)),
        })
    }

    fn damage(&self, damage: &DamageJson) -> Result<String> {
        if self.json {
            return Ok(serde_json::to_string(damage)?);
        }
        Ok(format!(
            "{:>12}  {}  {} at byte {}: {} bytes are no record: {}",
            damage.position,
            self.paint.yellow("damaged"),
            damage.file,
            damage.offset,
            damage.size_bytes,
            damage.found
        ))
    }
}

/// What a record is: `message`, `half message`, or the change of state.
fn kind(record: &RecordView<'_>) -> String {
    if record.topic() == STATE_TOPIC {
        return match kourou_broker::audit::state_name(record.queue_id()) {
            Some(name) => format!("state: {name}"),
            None => format!("state: kind {}", record.queue_id()),
        };
    }
    if record.indexed() {
        "message"
    } else {
        "half message"
    }
    .to_owned()
}

fn properties(bytes: &[u8]) -> BTreeMap<&str, &str> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split('\u{2}')
        .filter_map(|pair| pair.split_once('\u{1}'))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_digits() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert_eq!(hex(b""), "");
    }
}
