//! What a run found out.

use kourou_proto::ResponseCode;
use serde::Serialize;

use crate::latencies::LatencySummary;
use crate::ledger::Ledger;
use crate::process::ProcessReport;
use crate::timeline::TimelineStep;

/// What a run of sends found out.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// `send`, `send in transactions` or `latency`.
    pub run: &'static str,
    /// Whom it talked to.
    pub broker: String,
    /// Where the messages went.
    pub topic: String,
    /// How headers were written: `json` or `binary`.
    pub codec: &'static str,
    /// Connections.
    pub connections: usize,
    /// Requests in flight, of a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<usize>,
    /// Messages a second that were to be sent, of an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Messages of a request.
    pub batch: usize,
    /// How long was measured.
    pub seconds: f64,
    /// Messages acknowledged while it was measured.
    pub messages: u64,
    /// The same a second; none if messages were lost.
    pub per_second: Option<f64>,
    /// Bodies a second, in units of 1000 * 1000 bytes.
    pub megabytes_per_second: Option<f64>,
    /// Time to the acknowledgement: of a closed loop from the socket, of an open loop from the intended time.
    pub latency: Option<LatencySummary>,
    /// How late the run itself was in handing requests to the socket, of an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<LatencySummary>,
    /// Time from the intended send to the consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<LatencySummary>,
    /// Time from the socket to the consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_from_socket: Option<LatencySummary>,
    /// Messages that reached the consumer, warm-up included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Answers other than success, warm-up included.
    pub refused: Vec<RefusalReport>,
    /// Requests without an answer, warm-up included.
    pub unanswered: u64,
    /// What the processes asked for used.
    pub processes: Vec<ProcessReport>,
    /// What the run itself used.
    pub own: ProcessReport,
    /// Whether every acknowledged message was found.
    pub audit: AuditReport,
    /// Latency by time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineStep>,
}

/// Answers with one code.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RefusalReport {
    /// The code.
    pub code: i32,
    /// Its name.
    pub name: String,
    /// How many requests were answered so.
    pub requests: u64,
    /// What the broker said the first time.
    pub remark: String,
}

/// What became of the messages that were acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum AuditReport {
    /// Nobody looked.
    Skipped {
        /// Why not.
        why: &'static str,
    },
    /// Every queue was read back.
    Done(Audit),
}

/// What was found in the queues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// Messages that were acknowledged, warm-up included.
    pub acknowledged: u64,
    /// Messages of the run that were found, each counted once.
    pub found: u64,
    /// Acknowledged, and not there.
    pub lost: u64,
    /// Found more than once: the copies beyond the first.
    pub duplicates: u64,
    /// Found with another body than was sent.
    pub damaged: u64,
    /// Found though nobody sent them in this run.
    pub strangers: u64,
    /// Found though not acknowledged: refused or unanswered, and stored nevertheless.
    pub unacknowledged: u64,
}

impl Audit {
    /// Whether every acknowledged message is there exactly once, as it was sent.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.damaged == 0
    }
}

impl LoadReport {
    /// Why the run counts for nothing, in words; `None` if it is good.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if let AuditReport::Done(audit) = &self.audit
            && !audit.is_clean()
        {
            return Some(format!(
                "of {} acknowledged messages {} are lost, {} are damaged, {} are there more than once",
                audit.acknowledged, audit.lost, audit.damaged, audit.duplicates
            ));
        }
        if let (Some(received), AuditReport::Done(audit)) = (self.received, &self.audit)
            && received < audit.acknowledged
        {
            return Some(format!(
                "of {} acknowledged messages only {received} reached the consumer",
                audit.acknowledged
            ));
        }
        if self.unanswered > 0 {
            return Some(format!("{} requests were never answered", self.unanswered));
        }
        self.latency.is_none().then(|| match self.refused.first() {
            Some(refusal) => format!(
                "no message was acknowledged: {}: {}",
                refusal.name, refusal.remark
            ),
            None => "no message was acknowledged".to_owned(),
        })
    }
}

pub(crate) fn refusals(ledgers: &[&Ledger]) -> Vec<RefusalReport> {
    let mut all: Vec<RefusalReport> = Vec::new();
    for (code, refusal) in ledgers.iter().flat_map(|ledger| &ledger.refusals) {
        if let Some(known) = all.iter_mut().find(|known| known.code == *code) {
            known.requests += refusal.requests;
        } else {
            all.push(RefusalReport {
                code: *code,
                name: ResponseCode::new(*code).to_string(),
                requests: refusal.requests,
                remark: refusal.remark.clone(),
            });
        }
    }
    all
}
