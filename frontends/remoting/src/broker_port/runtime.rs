//! Figures about the broker as a whole.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_proto::Command;
use kourou_proto::body::KvTable;

/// Figures that Apache's tools and dashboard read without looking whether they are there, and that are not counted
/// here yet: a zero each, so that what is counted can be shown.
const ZEROES: [&str; 20] = [
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
    "pageCacheLockTimeMills",
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
    put("storeHealth", format!("{:?}", engine.health()));
    success.with_body(table.encode())
}
