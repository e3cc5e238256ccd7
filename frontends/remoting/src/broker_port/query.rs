//! Messages by a key.

use std::sync::Arc;

use kourou_broker::query::QueryRequest;
use kourou_proto::remoting::request::QueryMessageHeader;
use kourou_proto::remoting::response::QueryMessageResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Port;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// The kind of index that holds tags; the others are keys.
const INDEX_OF_TAGS: &str = "T";

/// Answers with stored messages back to back, the oldest first. The fields say how far the index has come in either case.
pub(super) fn query(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    if let Err(error) = QueryMessageHeader::decode(request) {
        return Refusal::from(error).send(reply);
    }
    let (broker, request) = (Arc::clone(&port.broker), request.clone());
    // It looks through indexes and reads what it finds.
    port.cold_reads.run(reply, move |reply| {
        let header = match QueryMessageHeader::decode(&request) {
            Ok(header) => header,
            Err(error) => return Refusal::from(error).send(reply),
        };
        let by_tag = header.index_type == Some(INDEX_OF_TAGS);
        let result = broker.query(&QueryRequest {
            topic: header.topic,
            key: header.key,
            unique: header.unique_key && !by_tag,
            messages_max: usize::try_from(header.max_num)
                .ok()
                .filter(|_| !by_tag)
                .unwrap_or(0),
            begin_ms: header.begin_timestamp_ms,
            end_ms: header.end_timestamp_ms,
        });
        let fields = QueryMessageResponse {
            index_last_update_timestamp_ms: result.last.store_ms,
            index_last_update_position: i64::try_from(result.last.position).unwrap_or(i64::MAX),
        };
        if result.records.is_empty() {
            let remark = if by_tag {
                "messages cannot be queried by tag, only by key and by unique key"
            } else {
                "can not find message, maybe time range not correct"
            };
            let answer = reply
                .command(ResponseCode::QUERY_NOT_FOUND)
                .with_fields(&fields)
                .with_remark(remark);
            return reply.send(answer);
        }
        let head = reply.command(ResponseCode::SUCCESS).with_fields(&fields);
        reply.send_records(head, result.records);
    });
}
