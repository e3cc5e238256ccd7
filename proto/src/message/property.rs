//! Names of message properties.

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
    };
}

names! {
    /// Keys to find the message by, separated by spaces.
    KEYS = "KEYS";
    /// What consumers filter by.
    TAGS = "TAGS";
    /// Whether the send waits for flush and replicas, "true" if absent.
    WAIT = "WAIT";
    /// The delay level, 1 to 18.
    DELAY = "DELAY";
    /// The topic that a retried message came from.
    RETRY_TOPIC = "RETRY_TOPIC";
    /// The topic that a parked message is for.
    REAL_TOPIC = "REAL_TOPIC";
    /// The queue that a parked message is for.
    REAL_QID = "REAL_QID";
    /// "true" on the half of a transaction.
    TRAN_MSG = "TRAN_MSG";
    /// The group to ask for a transaction's outcome.
    PGROUP = "PGROUP";
    /// Set by consumers after a pull: the queue's first offset.
    MIN_OFFSET = "MIN_OFFSET";
    /// Set by consumers after a pull: the queue's next offset.
    MAX_OFFSET = "MAX_OFFSET";
    /// The message's first id.
    ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID";
    /// Attempts so far, on a send by a consumer.
    RECONSUME_TIME = "RECONSUME_TIME";
    /// The limit of attempts, on a send by a consumer.
    MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES";
    /// The broker's region.
    MSG_REGION = "MSG_REGION";
    /// Whether traces are wanted.
    TRACE_ON = "TRACE_ON";
    /// The id that the producer made.
    UNIQ_KEY = "UNIQ_KEY";
    /// When the consumer began.
    CONSUME_START_TIME = "CONSUME_START_TIME";
    /// How many messages a batch record holds.
    INNER_NUM = "INNER_NUM";
    /// The first offset of a batch record.
    INNER_BASE = "INNER_BASE";
    /// How long nobody asks for a transaction's outcome.
    CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS";
    /// The first offset of a half message that was queued again.
    TRAN_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET";
    /// A copy of the unique key on half messages.
    TRANSACTION_ID = "__transactionId__";
    /// How often the outcome was asked for.
    TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES";
    /// The namespace.
    INSTANCE_ID = "INSTANCE_ID";
    /// Pairs request and reply.
    CORRELATION_ID = "CORRELATION_ID";
    /// Who waits for a reply.
    REPLY_TO_CLIENT = "REPLY_TO_CLIENT";
    /// How long a reply is waited for, in milliseconds.
    TTL = "TTL";
    /// When a reply came.
    ARRIVE_TIME = "ARRIVE_TIME";
    /// When a reply was pushed.
    PUSH_REPLY_TIME = "PUSH_REPLY_TIME";
    /// The broker's cluster.
    CLUSTER = "CLUSTER";
    /// "reply" on replies.
    MSG_TYPE = "MSG_TYPE";
    /// What to acknowledge a popped message with.
    POP_CK = "POP_CK";
    /// When the message was first popped.
    FIRST_POP_TIME = "1ST_POP_TIME";
    /// What ordered sends are spread by.
    SHARDING_KEY = "__SHARDINGKEY";
    /// Queues of their own that see the message too, separated by commas.
    INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH";
    /// The offsets in those.
    INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET";
    /// The trace that the message belongs to.
    TRACE_CONTEXT = "TRACE_CONTEXT";
    /// Deliver after seconds.
    TIMER_DELAY_SEC = "TIMER_DELAY_SEC";
    /// Deliver after milliseconds.
    TIMER_DELAY_MS = "TIMER_DELAY_MS";
    /// Deliver at a time.
    TIMER_DELIVER_MS = "TIMER_DELIVER_MS";
    /// When the broker will deliver.
    TIMER_OUT_MS = "TIMER_OUT_MS";
    /// Takes a timer message back.
    TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY";
    /// The real producer's address, behind a proxy.
    BORN_HOST = "__BORNHOST";
    /// Where a dead message came from.
    DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC";
    /// What a dead message was called.
    DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID";
    /// A checksum over the record.
    CRC32 = "__CRC32#";
}
