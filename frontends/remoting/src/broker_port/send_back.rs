//! Messages that come back, and messages by their position.

use std::sync::Arc;

use kourou_broker::Text;
use kourou_broker::send_back::SendBackRequest;
use kourou_proto::remoting::request::{ConsumerSendMsgBackHeader, ViewMessageHeader};
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Port;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

pub(super) fn send_back(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let header = match ConsumerSendMsgBackHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let back = SendBackRequest {
        group: Text::from(header.group),
        position: header.position,
        delay_level: header.delay_level,
        reconsume_times_max: header.max_reconsume_times,
        unit_mode: header.unit_mode,
    };
    let broker = Arc::clone(&port.broker);
    // The message may have left the memory.
    port.cold_reads.run(reply, move |reply| {
        broker.send_back(back, move |stored| match stored {
            Ok(()) => {
                let answer = reply.command(ResponseCode::SUCCESS);
                reply.send(answer);
            }
            Err(error) => Refusal::of(error.response_code(), &error).send(reply),
        });
    });
}

pub(super) fn view(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let position = match ViewMessageHeader::decode(request) {
        Ok(header) => header.position,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let broker = Arc::clone(&port.broker);
    port.cold_reads.record(
        move || {
            let not_found = || format!("can not find message by the offset, {position}");
            let position = u64::try_from(position).map_err(|_| not_found())?;
            broker
                .record_at(position)
                .map_err(|error| format!("{}: {error}", not_found()))
        },
        reply,
    );
}
