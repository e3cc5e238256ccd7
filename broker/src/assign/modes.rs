//! The request modes that were set, by topic and group.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::state::{Fields, Writer};

/// How consumers get their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestMode {
    /// By queue, each queue one consumer's.
    #[default]
    Pull,
    /// One by one, each message one consumer's.
    Pop,
}

/// How the consumers of one group get the messages of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestModeConfig {
    /// How.
    pub mode: RequestMode,
    /// By pop, with how many of its neighbours a consumer shares its queues; 0 or less for all.
    pub pop_share_queues: i32,
}

impl RequestModeConfig {
    pub(crate) fn encode(self, out: &mut Writer) {
        out.u8(u8::from(self.mode == RequestMode::Pop));
        out.i32(self.pop_share_queues);
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let mode = match fields.u8()? {
            0 => RequestMode::Pull,
            1 => RequestMode::Pop,
            _ => return None,
        };
        let pop_share_queues = fields.i32()?;
        Some(Self {
            mode,
            pop_share_queues,
        })
    }
}

type Groups = HashMap<Arc<str>, RequestModeConfig>;

/// The table.
#[derive(Default)]
pub(crate) struct RequestModes(Mutex<HashMap<Arc<str>, Groups>>);

impl fmt::Debug for RequestModes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} request modes", self.count())
    }
}

impl RequestModes {
    pub(super) fn get(&self, topic: &str, group: &str) -> Option<RequestModeConfig> {
        self.0.lock().get(topic)?.get(group).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().values().map(HashMap::len).sum()
    }

    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<str>, RequestModeConfig)> {
        let modes = self.0.lock();
        let groups = modes.iter().flat_map(|(topic, groups)| {
            groups
                .iter()
                .map(|(group, config)| (topic.clone(), group.clone(), *config))
        });
        groups.collect()
    }

    pub(crate) fn apply(&self, fields: &mut Fields<'_>) -> Option<()> {
        let (topic, group) = (fields.text()?, fields.text()?);
        let config = RequestModeConfig::decode(fields)?;
        let mut modes = self.0.lock();
        modes
            .entry(topic.into())
            .or_default()
            .insert(group.into(), config);
        Some(())
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        self.0.lock().remove(topic);
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.0.lock().retain(|_, groups| {
            groups.remove(group);
            !groups.is_empty()
        });
    }

    pub(crate) fn encode(&self) -> Writer {
        let all = self.all();
        let mut out = Writer::new();
        out.count(all.len());
        for (topic, group, config) in all {
            out.text(&topic);
            out.text(&group);
            config.encode(&mut out);
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        self.0.lock().clear();
        for _ in 0..fields.count()? {
            self.apply(fields)?;
        }
        Some(())
    }
}
