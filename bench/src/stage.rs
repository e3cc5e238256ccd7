//! Where a run takes place: its topic, whose offsets are known before anything is sent.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::admin::{Admin, Peer};
use crate::error::BenchError;
use crate::settings::{Payload, Target};
use crate::template::{Template, TemplateSpec};

/// How long an answer may be missing before a run is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) topic: String,
    /// Tells the messages of this run from all others.
    pub(crate) run: u64,
    pub(crate) peer: Peer,
    /// Where each queue ended before the run.
    pub(crate) begins: Vec<i64>,
}

impl Stage {
    /// Takes the topic named, with the queues it has; makes it if there is none, or a new one if none is named.
    pub(crate) fn set(target: &Target) -> Result<Self, BenchError> {
        let run = std::hash::RandomState::new().build_hasher().finish();
        let mut admin = Admin::connect(&target.broker)?;
        let found = match &target.topic {
            Some(topic) => admin.find_topic(topic)?,
            None => None,
        };
        let topic = target
            .topic
            .clone()
            .unwrap_or_else(|| format!("kourou-bench-{run:016x}"));
        let peer = match found {
            Some(found) => found.peer,
            None => admin.create_topic(&topic, target.queues)?,
        };
        let queues = found.and_then(|found| found.queues).unwrap_or(target.queues);
        let begins = (0..)
            .take(queues as usize)
            .map(|queue_id| admin.max_offset(&topic, queue_id))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            topic,
            run,
            peer,
            begins,
        })
    }

    /// Whether what is sent can be read back.
    pub(crate) fn is_kept(&self) -> bool {
        self.peer == Peer::Broker
    }

    pub(crate) fn template(
        &self,
        target: &Target,
        payload: Payload,
        transactional: bool,
        lane: usize,
    ) -> Result<Template, BenchError> {
        Template::new(&TemplateSpec {
            topic: &self.topic,
            // As many as there are numbers of queues.
            queues: u32::try_from(self.begins.len()).unwrap_or(u32::MAX),
            body_bytes: payload.body_bytes,
            batch: payload.batch,
            transactional,
            codec: target.codec,
            run: self.run,
            // At most 1024, see the settings.
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
        })
    }
}

/// A thread's share of the connections: every `threads`-th.
pub(crate) fn share_of(thread: usize, threads: usize, connections: usize) -> impl Iterator<Item = usize> {
    (thread..connections).step_by(threads)
}

/// An even part of a number; the first parts take what is left over.
pub(crate) const fn part(total: u64, of: u64, index: u64) -> u64 {
    total / of + if index < total % of { 1 } else { 0 }
}
