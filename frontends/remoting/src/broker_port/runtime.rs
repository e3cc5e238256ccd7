//! Figures about the broker as a whole.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_proto::Command;
use kourou_proto::body::{DataVersion, KvTable};
use kourou_proto::remoting::response::GetBrokerConfigResponse;

/// Figures that Apache's tools and dashboard read without looking whether they are there, and that are not counted
/// here yet: a zero each, so that what is counted can be shown.
const ZEROES: [&str; 19] = [
    "msgPutTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
    "sendThreadPoolQueueSize",
    "pullThreadPoolQueueSize",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "commitLogDiskRatio",
    "consumeQueueDiskRatio",
    "timerReadBehind",
    "timerOffsetBehind",
    "timerEnqueueTps",
    "timerDequeueTps",
    "putMessageAverageSize",
    "earliestMessageTimeStamp",
    "dispatchBehindBytes",
];

/// The broker's settings as a Java properties file, by the names that Apache's tools know.
pub(super) fn config(broker: &Arc<Broker>, success: Command) -> Command {
    let options = broker.options();
    let settings = [
        ("brokerClusterName", options.cluster_name.clone()),
        ("brokerName", options.broker_name.clone()),
        ("brokerId", options.broker_id.to_string()),
        ("brokerIP1", options.store_host.ip().to_string()),
        ("listenPort", options.store_host.port().to_string()),
        ("brokerPermission", options.perm.to_string()),
        ("regionId", options.region.clone()),
        ("traceOn", options.trace_on.to_string()),
        ("autoCreateTopicEnable", options.auto_create_topic.to_string()),
        (
            "autoCreateSubscriptionGroup",
            options.auto_create_group.to_string(),
        ),
        ("defaultTopicQueueNums", options.default_topic_queues.to_string()),
        ("maxMessageSize", options.limits.body_size_bytes_max.to_string()),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        text.extend([name, "=", &value, "\n"]);
    }
    // Settings do not change while the broker runs.
    let version = String::from_utf8_lossy(&DataVersion::default().encode()).into_owned();
    success
        .with_fields(&GetBrokerConfigResponse { version: &version })
        .with_body(text)
}

/// Rates over three spans.
const RATES: [&str; 3] = ["putTps", "getTransferredTps", "getTotalTps"];

pub(super) fn info(broker: &Arc<Broker>, success: Command) -> Command {
    let engine = broker.engine();
    let mut table = KvTable::default();
    let mut put = |name: &str, value: String| {
        table.table.insert(name.to_owned(), value);
    };
    for name in ZEROES {
        put(name, "0".to_owned());
    }
    for name in RATES {
        put(name, "0.0 0.0 0.0".to_owned());
    }
    put(
        "brokerVersionDesc",
        format!("kourou {}", env!("CARGO_PKG_VERSION")),
    );
    put(
        "brokerVersion",
        kourou_proto::remoting::version::CURRENT.to_string(),
    );
    put("brokerActive", "true".to_owned());
    put("commitLogMinOffset", engine.first_position().to_string());
    put("commitLogMaxOffset", engine.watermark().to_string());
    put("timerCongestNum", broker.timers_pending().to_string());
    put("heldPulls", broker.held_pulls().to_string());
    let flow = broker.flow_stats();
    // Upstream's figure of that name is for how long a put has held its lock.
    put("pageCacheLockTimeMills", flow.pressure.oldest_ms.to_string());
    put("commitLatencyMs", flow.pressure.commit_ms.to_string());
    put("inFlightBytes", flow.pressure.in_flight_bytes.to_string());
    put("sendsRefusedInFlight", flow.sends_refused_in_flight.to_string());
    put(
        "sendsRefusedCommitLatency",
        flow.sends_refused_commit_latency.to_string(),
    );
    put("sendsRefusedQuota", flow.sends_refused_quota.to_string());
    put("pullsRefusedQuota", flow.pulls_refused_quota.to_string());
    if let Some(traces) = broker.trace_counts() {
        put("tracesWritten", traces.written.to_string());
        put("tracesDropped", traces.dropped.to_string());
        put("tracesUnfollowed", traces.unfollowed.to_string());
    }
    put("storeHealth", format!("{:?}", engine.health()));
    success.with_body(table.encode())
}
