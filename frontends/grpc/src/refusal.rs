//! Why a request is refused: a code of the v2 protocol and a text, which travel inside a successful gRPC answer.

use std::fmt;

use kourou_broker::code;
use kourou_broker::delivery::{DeliveryError, PopError};
use kourou_broker::lite::SyncError;
use kourou_broker::name::NameError;
use kourou_broker::receive::PullError;
use kourou_broker::send::SendError;
use kourou_broker::transaction::TransactionError;

use crate::wire::v2::{Code, Status};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// An error of the broker's, by its number in the protocol family.
    pub(crate) fn of(response_code: i32, error: &impl fmt::Display) -> Self {
        let code = match response_code {
            code::SYSTEM_BUSY | code::FLOW_CONTROL => Code::TooManyRequests,
            code::TOPIC_NOT_EXIST => Code::TopicNotFound,
            code::SUBSCRIPTION_GROUP_NOT_EXIST => Code::ConsumerGroupNotFound,
            code::NO_PERMISSION => Code::Forbidden,
            code::SUBSCRIPTION_PARSE_FAILED => Code::IllegalFilterExpression,
            code::QUERY_NOT_FOUND => Code::OffsetNotFound,
            code::INVALID_PARAMETER => Code::BadRequest,
            _ => Code::InternalServerError,
        };
        Self::new(code, error.to_string())
    }

    pub(crate) fn topic_not_found(topic: &str) -> Self {
        Self::new(
            Code::TopicNotFound,
            format!("the topic {topic} does not exist; make it first"),
        )
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.into(),
            message: refusal.message,
        }
    }
}

/// A status that says yes.
pub(crate) fn ok() -> Status {
    Status {
        code: Code::Ok.into(),
        message: "OK".to_owned(),
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::Type(_) => Code::MessagePropertyConflictWithType,
            SendError::LiteName(_) => Code::IllegalLiteTopic,
            SendError::TooManyLiteTopics { .. } => Code::LiteTopicQuotaExceeded,
            other => return Self::of(other.response_code(), other),
        };
        Self::new(code, error.to_string())
    }
}

impl From<SyncError> for Refusal {
    fn from(error: SyncError) -> Self {
        let code = match &error {
            SyncError::Name { .. } => Code::IllegalLiteTopic,
            SyncError::NotLite { .. } => Code::IllegalTopic,
            SyncError::NotBound { .. } => Code::IllegalConsumerGroup,
            SyncError::ClientQuota { .. } | SyncError::TooMany { .. } => Code::LiteSubscriptionQuotaExceeded,
            other => return Self::of(other.response_code(), other),
        };
        Self::new(code, error.to_string())
    }
}

impl From<PullError> for Refusal {
    fn from(error: PullError) -> Self {
        Self::of(error.response_code(), &error)
    }
}

impl From<PopError> for Refusal {
    fn from(error: PopError) -> Self {
        // One with several lines shows where the fault is.
        if let PopError::Filter(fault) = &error {
            return Self::new(Code::IllegalFilterExpression, fault.to_string());
        }
        Self::of(error.response_code(), &error)
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Self {
        let code = match &error {
            // The handle is what names the delivery.
            DeliveryError::QueueNotExist { .. }
            | DeliveryError::OffsetOutside { .. }
            | DeliveryError::NotGiven { .. }
            | DeliveryError::NotOut { .. } => Code::InvalidReceiptHandle,
            DeliveryError::Invisible { .. } => Code::IllegalInvisibleTime,
            other => return Self::of(other.response_code(), other),
        };
        Self::new(code, error.to_string())
    }
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        let code = match &error {
            // The id is what names the transaction.
            TransactionError::NotPending { .. }
            | TransactionError::Ended { .. }
            | TransactionError::WrongGroup { .. }
            | TransactionError::WrongOffset { .. } => Code::InvalidTransactionId,
            TransactionError::InFlight { .. } => Code::TooManyRequests,
            TransactionError::TooLate { .. } => Code::PreconditionFailed,
            other => return Self::of(other.response_code(), other),
        };
        Self::new(code, error.to_string())
    }
}

/// A name that is not a topic's.
pub(crate) fn illegal_topic(error: &NameError) -> Refusal {
    Refusal::new(Code::IllegalTopic, error.to_string())
}
