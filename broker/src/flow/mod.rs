//! Flow control: whether a request is taken now, and what it is told if not.
//!
//! ```text
//!  send ---> the log: bytes in flight, measured time of a commit ---> quotas: topic, client ---> encode, append
//!  pull ---> quotas: topic, group ---> records ---> what they cost is taken from the quotas
//! ```
//!
//! Nothing is guessed. A send is refused for what the log does at this moment (see [`Pressure`]) or for what its topic or
//! client was given; a log with nothing in flight refuses nobody. Who is refused hears the cause, the limit, what was measured, and
//! when to come again. Consumers' acknowledgements, offsets and whatever the broker itself stores are never refused here.
//!
//! A refusal for the log's sake has the code that makes clients try another broker at once; one for a quota has the code that they
//! report to the application (and that pulling clients take as 'wait a little').

mod bucket;
mod quota;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kourou_engine::{Engine, Pressure};
use thiserror::Error;

pub use quota::Rates;
use quota::{Quota, Table};
pub(crate) use quota::{check, check_all, has_quota, is_quota};

use crate::broker::Broker;
use crate::code;
use crate::group::GroupConfig;
use crate::options::BrokerOptions;
use crate::send::SendRequest;
use crate::text::Text;
use crate::topic::TopicConfig;

/// With no more than this in flight a slow commit refuses nobody: the disk takes it in one write, and whether the log is still slow
/// is only learnt by writing.
const UNQUESTIONED_SIZE_BYTES: u64 = 1 << 20;

/// Nobody is told to come again earlier.
const RETRY_AFTER_MIN_MS: u64 = 10;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Messages.
    Messages,
    /// Bytes.
    Bytes,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
        })
    }
}

/// Whose quota it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaOf {
    /// All that is sent to a topic, or received from it.
    Topic(Text),
    /// All that a consumer group receives.
    Group(Text),
    /// All that one client sends.
    Client {
        /// The client's address.
        address: SocketAddr,
        /// Its producer group.
        group: Text,
    },
}

impl fmt::Display for QuotaOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => write!(f, "topic[{topic}]"),
            Self::Group(group) => write!(f, "group[{group}]"),
            Self::Client { address, group } => write!(f, "client[{address}] of group[{group}]"),
        }
    }
}

/// Why a request is not taken now. Nothing was done; it may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlowRefusal {
    /// Too many bytes are on their way to the disk.
    #[error(
        "[IN_FLIGHT_BYTES]broker busy: {in_flight_bytes} bytes wait for the disk, {max_bytes} are allowed; retry \
         after {retry_after_ms} ms"
    )]
    InFlight {
        /// Bytes that are not durable yet.
        in_flight_bytes: u64,
        /// The limit.
        max_bytes: u64,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// It takes too long until a message is durable.
    #[error(
        "[COMMIT_LATENCY]broker busy: the disk takes {commit_ms} ms to make a message durable, {max_ms} ms are \
         allowed, {in_flight_bytes} bytes wait for it; retry after {retry_after_ms} ms"
    )]
    CommitLatency {
        /// What was measured.
        commit_ms: u64,
        /// The limit.
        max_ms: u64,
        /// Bytes that are not durable yet.
        in_flight_bytes: u64,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// A quota is used up.
    #[error(
        "[QUOTA]flow control: {of} was asked for {measured_per_s} {unit} in a second, its quota is {limit_per_s} \
         {unit} a second; retry after {retry_after_ms} ms"
    )]
    Quota {
        /// Whose.
        of: QuotaOf,
        /// Of what.
        unit: Unit,
        /// The limit.
        limit_per_s: u64,
        /// What was asked for within a second, what was refused included.
        measured_per_s: u64,
        /// When to try again.
        retry_after_ms: u64,
    },
}

impl FlowRefusal {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::InFlight { .. } | Self::CommitLatency { .. } => code::SYSTEM_BUSY,
            Self::Quota { .. } => code::FLOW_CONTROL,
        }
    }

    /// When to try again, in milliseconds from now.
    pub fn retry_after_ms(&self) -> u64 {
        match self {
            Self::InFlight { retry_after_ms, .. }
            | Self::CommitLatency { retry_after_ms, .. }
            | Self::Quota { retry_after_ms, .. } => *retry_after_ms,
        }
    }
}

/// What flow control has seen and done since the broker was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowStats {
    /// How busy the log is.
    pub pressure: Pressure,
    /// Sends refused for the bytes in flight.
    pub sends_refused_in_flight: u64,
    /// Sends refused for the time that a commit takes.
    pub sends_refused_commit_latency: u64,
    /// Sends refused for a quota.
    pub sends_refused_quota: u64,
    /// Pulls refused for a quota.
    pub pulls_refused_quota: u64,
}

/// The state of flow control. None of it outlives the process: quotas are attributes, and what is measured is measured anew.
#[derive(Debug)]
pub(crate) struct Flow {
    in_flight_bytes_max: u64,
    commit_ms_max: u64,
    /// What a client may send if its group does not say.
    client: Rates,
    topic_sends: Table<Arc<str>>,
    topic_pulls: Table<Arc<str>>,
    group_pulls: Table<Arc<str>>,
    clients: Table<ClientKey>,
    refused: Refused,
}

/// A client and, if it has a quota of its own, its producer group: one client may send for several.
type ClientKey = (SocketAddr, Option<Arc<str>>);

#[derive(Debug, Default)]
struct Refused {
    in_flight: AtomicU64,
    commit_latency: AtomicU64,
    send_quota: AtomicU64,
    pull_quota: AtomicU64,
}

impl Flow {
    pub(crate) fn new(options: &BrokerOptions) -> Self {
        Self {
            in_flight_bytes_max: options.in_flight_size_bytes_max,
            commit_ms_max: u64::try_from(options.commit_latency_max_ms).unwrap_or(0),
            client: options.client_send_quota,
            topic_sends: Table::default(),
            topic_pulls: Table::default(),
            group_pulls: Table::default(),
            clients: Table::default(),
            refused: Refused::default(),
        }
    }

    /// Forgets what is as good as new.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.topic_sends.sweep(now_ms);
        self.topic_pulls.sweep(now_ms);
        self.group_pulls.sweep(now_ms);
        self.clients.sweep(now_ms);
    }

    /// Whether the log takes another `size_bytes` now.
    fn admit(&self, engine: &Engine, size_bytes: u64) -> Result<(), FlowRefusal> {
        if engine.in_flight_bytes() == 0 {
            return Ok(());
        }
        self.judge(engine.pressure(), size_bytes)
    }

    fn judge(&self, pressure: Pressure, size_bytes: u64) -> Result<(), FlowRefusal> {
        let Pressure {
            in_flight_bytes,
            oldest_ms,
            commit_ms,
        } = pressure;
        if in_flight_bytes == 0 {
            return Ok(());
        }
        if in_flight_bytes.saturating_add(size_bytes) > self.in_flight_bytes_max {
            self.refused.in_flight.fetch_add(1, Ordering::Relaxed);
            return Err(FlowRefusal::InFlight {
                in_flight_bytes,
                max_bytes: self.in_flight_bytes_max,
                retry_after_ms: commit_ms
                    .clamp(RETRY_AFTER_MIN_MS, self.commit_ms_max.max(RETRY_AFTER_MIN_MS)),
            });
        }
        let is_slow = commit_ms > self.commit_ms_max && in_flight_bytes > UNQUESTIONED_SIZE_BYTES;
        if oldest_ms > self.commit_ms_max || is_slow {
            self.refused.commit_latency.fetch_add(1, Ordering::Relaxed);
            let measured_ms = if is_slow {
                commit_ms.max(oldest_ms)
            } else {
                oldest_ms
            };
            let over_ms = measured_ms.saturating_sub(self.commit_ms_max);
            return Err(FlowRefusal::CommitLatency {
                commit_ms: measured_ms,
                max_ms: self.commit_ms_max,
                in_flight_bytes,
                retry_after_ms: over_ms.clamp(RETRY_AFTER_MIN_MS, self.commit_ms_max.max(RETRY_AFTER_MIN_MS)),
            });
        }
        Ok(())
    }
}

impl Broker {
    /// Whether a send that has passed the other checks is taken now; `messages` says how many there are, if that matters. Costs a
    /// look at three numbers where there are no quotas.
    pub(crate) fn admit_send(
        &self,
        request: &SendRequest<'_>,
        topic: &TopicConfig,
        messages: impl FnOnce() -> u64,
    ) -> Result<(), FlowRefusal> {
        let size_bytes = (request.body.len() + request.properties.len()) as u64;
        self.flow.admit(&self.engine, size_bytes)?;
        if topic.attributes.is_empty() && self.flow.client.is_unbounded() && !self.state.groups.any_quota() {
            return Ok(());
        }
        self.admit_send_by_quotas(request, topic, messages, size_bytes)
            .inspect_err(|_| {
                self.flow.refused.send_quota.fetch_add(1, Ordering::Relaxed);
            })
    }

    fn admit_send_by_quotas(
        &self,
        request: &SendRequest<'_>,
        topic: &TopicConfig,
        messages: impl FnOnce() -> u64,
        size_bytes: u64,
    ) -> Result<(), FlowRefusal> {
        let flow = &self.flow;
        let of_topic = Quota::of(&topic.attributes).send;
        let of_group = self.state.groups.get(&request.producer_group).and_then(|group| {
            let rates = Quota::of(&group.attributes).send;
            (!rates.is_unbounded()).then(|| (group.name.clone(), rates))
        });
        let (group, of_client) = match of_group {
            Some((group, rates)) => (Some(group), rates),
            None => (None, flow.client),
        };
        if of_topic.is_unbounded() && of_client.is_unbounded() {
            return Ok(());
        }
        let now_ms = self.clock.elapsed_ms();
        let messages = messages();
        let by_topic = (!of_topic.is_unbounded()).then(|| {
            flow.topic_sends
                .of(&*topic.name, of_topic, now_ms, |name: &str| Arc::from(name))
        });
        let by_client = (!of_client.is_unbounded()).then(|| {
            let client: ClientKey = (request.born_host, group);
            flow.clients.of(&client, of_client, now_ms, ClientKey::clone)
        });
        // Both are asked before either gives, so that who is refused by one uses up nothing of the other.
        if let Some(buckets) = &by_topic {
            buckets
                .have(messages, size_bytes, now_ms)
                .map_err(|dry| refusal(QuotaOf::Topic(Text::from(&*topic.name)), dry))?;
        }
        if let Some(buckets) = &by_client {
            buckets.have(messages, size_bytes, now_ms).map_err(|dry| {
                let client = QuotaOf::Client {
                    address: request.born_host,
                    group: Text::from(&*request.producer_group),
                };
                refusal(client, dry)
            })?;
        }
        for buckets in [by_topic, by_client].into_iter().flatten() {
            buckets.take(messages, size_bytes, now_ms);
        }
        Ok(())
    }

    /// Whether a group may receive from a topic now. What it then gets is to be told to [`Broker::received`].
    pub(crate) fn admit_receive(&self, topic: &TopicConfig, group: &GroupConfig) -> Result<(), FlowRefusal> {
        if topic.attributes.is_empty() && group.attributes.is_empty() {
            return Ok(());
        }
        let (of_topic, of_group) = (
            Quota::of(&topic.attributes).pull,
            Quota::of(&group.attributes).pull,
        );
        if of_topic.is_unbounded() && of_group.is_unbounded() {
            return Ok(());
        }
        let now_ms = self.clock.elapsed_ms();
        let (topic, group) = (&topic.name, &group.name);
        let dry = if !of_topic.is_unbounded()
            && let Err(dry) = self
                .flow
                .topic_pulls
                .of(&**topic, of_topic, now_ms, |name: &str| Arc::from(name))
                .have(1, 1, now_ms)
        {
            refusal(QuotaOf::Topic(Text::from(&**topic)), dry)
        } else if !of_group.is_unbounded()
            && let Err(dry) = self
                .flow
                .group_pulls
                .of(&**group, of_group, now_ms, |name: &str| Arc::from(name))
                .have(1, 1, now_ms)
        {
            refusal(QuotaOf::Group(Text::from(&**group)), dry)
        } else {
            return Ok(());
        };
        self.flow.refused.pull_quota.fetch_add(1, Ordering::Relaxed);
        Err(dry)
    }

    /// Takes what a group has received from the quotas.
    pub(crate) fn received(
        &self,
        topic: &TopicConfig,
        group: &GroupConfig,
        messages: usize,
        size_bytes: usize,
    ) {
        if topic.attributes.is_empty() && group.attributes.is_empty() {
            return;
        }
        let now_ms = self.clock.elapsed_ms();
        let flow = &self.flow;
        let parts = [
            (&flow.topic_pulls, &topic.name, &topic.attributes),
            (&flow.group_pulls, &group.name, &group.attributes),
        ];
        for (table, name, attributes) in parts {
            let rates = Quota::of(attributes).pull;
            if !rates.is_unbounded() {
                table
                    .of(&**name, rates, now_ms, |name: &str| Arc::from(name))
                    .take(messages as u64, size_bytes as u64, now_ms);
            }
        }
    }

    /// What flow control has seen and done.
    pub fn flow_stats(&self) -> FlowStats {
        let refused = &self.flow.refused;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FlowStats {
            pressure: self.engine.pressure(),
            sends_refused_in_flight: count(&refused.in_flight),
            sends_refused_commit_latency: count(&refused.commit_latency),
            sends_refused_quota: count(&refused.send_quota),
            pulls_refused_quota: count(&refused.pull_quota),
        }
    }
}

fn refusal(of: QuotaOf, (unit, dry): (Unit, bucket::Dry)) -> FlowRefusal {
    FlowRefusal::Quota {
        of,
        unit,
        limit_per_s: dry.limit_per_s,
        measured_per_s: dry.measured_per_s,
        retry_after_ms: dry.retry_after_ms.max(1),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn flow() -> Flow {
        let mut options = BrokerOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        options.in_flight_size_bytes_max = 64 << 20;
        options.commit_latency_max_ms = 2_000;
        Flow::new(&options)
    }

    fn pressure(in_flight_bytes: u64, oldest_ms: u64, commit_ms: u64) -> Pressure {
        Pressure {
            in_flight_bytes,
            oldest_ms,
            commit_ms,
        }
    }

    #[test]
    fn an_idle_log_takes_anything() {
        let flow = flow();
        assert_eq!(flow.judge(pressure(0, 60_000, 60_000), u64::MAX), Ok(()));
        // A slow commit that is over is no reason to refuse while little waits.
        assert_eq!(flow.judge(pressure(1, 0, 60_000), 1_000), Ok(()));
        assert_eq!(flow.judge(pressure(1 << 20, 2_000, 60_000), 1_000), Ok(()));
    }

    #[test]
    fn what_is_measured_decides_and_is_told() {
        let flow = flow();
        let stalled = flow.judge(pressure(100, 2_500, 1), 10).unwrap_err();
        assert_eq!(
            stalled.to_string(),
            "[COMMIT_LATENCY]broker busy: the disk takes 2500 ms to make a message durable, 2000 ms are allowed, \
             100 bytes wait for it; retry after 500 ms"
        );
        let slow = flow.judge(pressure(2 << 20, 10, 2_001), 10).unwrap_err();
        assert_eq!((slow.response_code(), slow.retry_after_ms()), (2, 10));
        let full = flow.judge(pressure(64 << 20, 10, 700), 1).unwrap_err();
        assert_eq!(
            full.to_string(),
            "[IN_FLIGHT_BYTES]broker busy: 67108864 bytes wait for the disk, 67108864 are allowed; retry after 700 ms"
        );
    }
}
