//! Recalls of messages that wait for their time.

use std::sync::Arc;

use kourou_broker::{RecallError, RecallRequest};
use kourou_proto::remoting::request::RecallMessageHeader;
use kourou_proto::remoting::response::RecallMessageResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Port;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

pub(super) fn recall(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let recall = match RecallMessageHeader::decode(request) {
        Ok(header) => RecallRequest {
            topic: header.topic.to_owned(),
            handle: header.recall_handle.to_owned(),
        },
        Err(error) => return Refusal::from(error).send(reply),
    };
    let broker = Arc::clone(&port.broker);
    let region = broker.options().region.clone();
    if broker.recall_may_block(&recall) {
        port.cold_reads
            .run(reply, move |reply| broker.recall(&recall, answer(reply, region)));
    } else {
        broker.recall(&recall, answer(reply, region));
    }
}

fn answer(reply: ReplyTo, region: String) -> impl FnOnce(Result<String, RecallError>) + Send {
    move |recalled| match recalled {
        Ok(uniq_key) => {
            let answer = reply
                .command(ResponseCode::SUCCESS)
                .with_fields(&RecallMessageResponse {
                    msg_id: &uniq_key,
                    region_id: Some(&region),
                });
            reply.send(answer);
        }
        Err(error) => Refusal::of(error.response_code(), &error).send(reply),
    }
}
