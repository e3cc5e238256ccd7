//! What all threads of a run of sends found out together.

use kourou_proto::HeaderCodec;

use crate::admin::Peer;
use crate::closed::Outcome;
use crate::error::BenchError;
use crate::latencies::Latencies;
use crate::ledger::Ledger;
use crate::report::{Audit, AuditReport, LoadReport, refusals};
use crate::settings::{Payload, Target};
use crate::stage::Stage;
use crate::timeline::Timeline;
use crate::watch::Measured;

#[derive(Debug)]
pub(crate) struct Findings {
    /// By connection.
    pub(crate) ledgers: Vec<(usize, Ledger)>,
    latencies: Latencies,
    timeline: Timeline,
}

impl Findings {
    /// `timeline` is empty.
    pub(crate) fn nothing(timeline: Timeline) -> Result<Self, BenchError> {
        Ok(Self {
            ledgers: Vec::new(),
            latencies: Latencies::new()?,
            timeline,
        })
    }

    /// Adds those of one thread, which had these connections.
    pub(crate) fn add(&mut self, connections: impl Iterator<Item = usize>, outcome: Outcome) {
        self.latencies.add(&outcome.latencies);
        self.timeline.add(&outcome.timeline);
        self.ledgers.extend(connections.zip(outcome.ledgers));
    }

    pub(crate) fn acknowledged_requests(&self) -> u64 {
        self.ledgers
            .iter()
            .map(|(_, ledger)| ledger.acknowledged_requests)
            .sum()
    }

    pub(crate) fn report(
        &self,
        run: &'static str,
        target: &Target,
        payload: Payload,
        stage: &Stage,
        measured: &Measured,
        audited: Option<Audit>,
    ) -> LoadReport {
        let seconds = measured.elapsed_ns as f64 / 1e9;
        // What is lost was not let through.
        let is_good = audited.as_ref().is_none_or(Audit::is_clean);
        let per_second = is_good.then(|| measured.messages as f64 / seconds);
        let ledgers: Vec<&Ledger> = self.ledgers.iter().map(|(_, ledger)| ledger).collect();
        LoadReport {
            run,
            broker: target.broker.clone(),
            topic: stage.topic.clone(),
            codec: codec_name(target.codec),
            connections: target.connections,
            in_flight: None,
            rate: None,
            body_bytes: payload.body_bytes,
            batch: payload.batch,
            seconds,
            messages: measured.messages,
            per_second,
            megabytes_per_second: per_second.map(|rate| rate * payload.body_bytes as f64 / 1e6),
            latency: self.latencies.summary(),
            lateness: None,
            end_to_end: None,
            end_to_end_from_socket: None,
            received: None,
            refused: refusals(&ledgers),
            unanswered: ledgers.iter().map(|ledger| ledger.unanswered_requests()).sum(),
            processes: measured.processes.clone(),
            own: measured.own,
            audit: audited.map_or_else(|| AuditReport::skipped(stage.peer), AuditReport::Done),
            timeline: self.timeline.summary(),
        }
    }
}

pub(crate) const fn codec_name(codec: HeaderCodec) -> &'static str {
    match codec {
        HeaderCodec::Json => "json",
        HeaderCodec::Rocketmq => "binary",
    }
}

impl AuditReport {
    pub(crate) const fn skipped(peer: Peer) -> Self {
        Self::Skipped {
            why: match peer {
                Peer::Sink => "a sink keeps nothing",
                Peer::Broker => "--no-audit",
            },
        }
    }
}
