//! The second half of a transactional send: the commit that follows the answer, oneway, as producers send it.

use bytes::BytesMut;
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::remoting::request::{EndTransactionHeader, transaction_end};
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, Header, HeaderCodec, HeaderFields, RequestCode};

use crate::answer::Answer;
use crate::error::BenchError;
use crate::template::PRODUCER_GROUP;

/// Commits of one connection that are not yet handed to it.
#[derive(Debug)]
pub(crate) struct Commits {
    topic: String,
    codec: HeaderCodec,
    waiting: BytesMut,
}

impl Commits {
    pub(crate) fn new(topic: &str, codec: HeaderCodec) -> Self {
        Self {
            topic: topic.to_owned(),
            codec,
            waiting: BytesMut::new(),
        }
    }

    /// Adds the commit of the half message that was acknowledged.
    pub(crate) fn add(&mut self, connection: usize, acknowledged: &Answer<'_>) -> Result<(), BenchError> {
        let unusable = |problem: String| BenchError::BadAnswer {
            what: "send half of a transaction",
            problem,
        };
        let header = Header::decode(acknowledged.codec, acknowledged.header)
            .map_err(|source| BenchError::Header { connection, source })?;
        let sent =
            SendMessageResponse::from_fields(&header.fields).map_err(|error| unusable(error.to_string()))?;
        let id = OffsetMessageId::parse(sent.msg_id).map_err(|error| unusable(error.to_string()))?;
        Command::request(RequestCode::END_TRANSACTION, acknowledged.opaque)
            .oneway()
            .with_codec(self.codec)
            .with_fields(&EndTransactionHeader {
                topic: Some(&self.topic),
                producer_group: PRODUCER_GROUP,
                queue_offset: sent.queue_offset,
                position: id.position,
                commit_or_rollback: transaction_end::COMMIT,
                from_transaction_check: false,
                msg_id: sent.transaction_id,
                transaction_id: sent.transaction_id,
            })
            .encode(&mut self.waiting)
            .map_err(|error| unusable(error.to_string()))
    }

    /// Hands them over.
    pub(crate) fn move_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.waiting);
        self.waiting.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
