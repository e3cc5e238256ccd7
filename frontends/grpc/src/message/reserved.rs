//! The names of properties that are the protocol's: clients of v2 say the same in fields of their own, and may not use them.

use kourou_proto::message::property;

/// Those that upstream reserves, and those that decide something here.
const RESERVED: [&str; 60] = [
    property::ARRIVE_TIME,
    property::BORN_HOST,
    "BORN_TIMESTAMP",
    "BUYER_ID",
    property::CHECK_IMMUNITY_TIME_IN_SECONDS,
    property::CLUSTER,
    property::CONSUME_START_TIME,
    property::CORRELATION_ID,
    "CORRECTION_FLAG",
    property::CRC32,
    property::DELAY,
    "DUP_INFO",
    "EXTEND_UNIQ_INFO",
    property::FIRST_POP_TIME,
    property::INNER_BASE,
    property::INNER_MULTI_DISPATCH,
    property::INNER_MULTI_QUEUE_OFFSET,
    property::INNER_NUM,
    property::INSTANCE_ID,
    property::KEYS,
    LITE_TOPIC,
    property::MAX_OFFSET,
    property::MAX_RECONSUME_TIMES,
    property::MIN_OFFSET,
    "MQ2_FLAG",
    property::MSG_REGION,
    property::MSG_TYPE,
    property::ORIGIN_MESSAGE_ID,
    property::PGROUP,
    property::POP_CK,
    "POP_CK_OFFSET",
    "POP_RETRY_OF",
    PRIORITY,
    property::PUSH_REPLY_TIME,
    property::REAL_QID,
    property::REAL_TOPIC,
    property::RECONSUME_TIME,
    property::REPLY_TO_CLIENT,
    property::RETRY_TOPIC,
    property::SHARDING_KEY,
    property::TAGS,
    property::TIMER_DELAY_MS,
    property::TIMER_DELAY_SEC,
    property::TIMER_DELIVER_MS,
    property::TIMER_DEL_UNIQKEY,
    property::TIMER_OUT_MS,
    "TIMER_DELAY_LEVEL",
    "TIMER_DEQUEUE_MS",
    "TIMER_ENQUEUE_MS",
    "TIMER_ROLL_TIMES",
    "TRANSFER_FLAG",
    property::TRACE_CONTEXT,
    property::TRACE_ON,
    property::TRANSACTION_CHECK_TIMES,
    property::TRANSACTION_ID,
    property::TRAN_MSG,
    property::TRAN_PREPARED_QUEUE_OFFSET,
    property::TTL,
    property::UNIQ_KEY,
    property::WAIT,
];

/// How urgent a message is.
pub(super) const PRIORITY: &str = "_SYS_MSG_PRIORITY_";
/// The lite topic of a message.
pub(super) const LITE_TOPIC: &str = "__LITE_TOPIC";

/// Whether `name` is the protocol's.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}
