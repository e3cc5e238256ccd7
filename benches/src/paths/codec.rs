//! Headers: bytes to typed fields and back, in memory that is kept, as a connection does it.

use std::hint::black_box;
use std::io;

use bytes::BytesMut;
use kourou_proto::HeaderCodec::{self, Json, Rocketmq};
use kourou_proto::remoting::header::FLAG_RESPONSE;
use kourou_proto::remoting::request::{PullMessageHeader, SendMessageHeader, SendNames};
use kourou_proto::remoting::response::{PullMessageResponse, SendMessageResponse};
use kourou_proto::{Command, FieldError, HeaderFields, ResponseCode};

use super::{BODY, Opened, Path};
use crate::requests::{self, TAG};

pub(super) const PATHS: [Path; 9] = [
    Path {
        name: "header/decode/send/long/json",
        about: "the header of a send with long names (code 10) read, JSON",
        messages: 1,
        open: || decode(requests::send_named(Json, SendNames::Long, TAG, 0, &BODY), send),
    },
    Path {
        name: "header/decode/send/json",
        about: "the header of a send with short names (code 310) read, JSON",
        messages: 1,
        open: || decode(requests::send(Json, TAG, 0, &BODY), send),
    },
    Path {
        name: "header/decode/send/binary",
        about: "the header of a send with short names (code 310) read, binary",
        messages: 1,
        open: || decode(requests::send(Rocketmq, TAG, 0, &BODY), send),
    },
    Path {
        name: "header/decode/pull/json",
        about: "the header of a pull read, JSON",
        messages: 1,
        open: || decode(requests::pull(Json, 0, 0, "*"), pull),
    },
    Path {
        name: "header/decode/pull/binary",
        about: "the header of a pull read, binary",
        messages: 1,
        open: || decode(requests::pull(Rocketmq, 0, 0, "*"), pull),
    },
    Path {
        name: "header/encode/sent/json",
        about: "the head of a send's answer written, JSON",
        messages: 1,
        open: || encode(Json, &SENT),
    },
    Path {
        name: "header/encode/sent/binary",
        about: "the head of a send's answer written, binary",
        messages: 1,
        open: || encode(Rocketmq, &SENT),
    },
    Path {
        name: "header/encode/pulled/json",
        about: "the head of a pull's answer written, JSON",
        messages: 1,
        open: || encode(Json, &PULLED),
    },
    Path {
        name: "header/encode/pulled/binary",
        about: "the head of a pull's answer written, binary",
        messages: 1,
        open: || encode(Rocketmq, &PULLED),
    },
];

const SENT: SendMessageResponse<'static> = SendMessageResponse {
    msg_id: "7F00000100002A9F00000000075BCD15",
    queue_id: 3,
    queue_offset: 123_456,
    transaction_id: Some("7F00000100002A139A5E2B3C4D5E0001"),
    batch_uniq_id: None,
    recall_handle: None,
    region_id: Some("DefaultRegion"),
    trace_on: Some(true),
};

const PULLED: PullMessageResponse = PullMessageResponse {
    suggest_which_broker_id: 0,
    next_begin_offset: 123_488,
    min_offset: 0,
    max_offset: 234_567,
    offset_delta: None,
    topic_sys_flag: Some(0),
    group_sys_flag: Some(0),
    forbidden_type: None,
};

fn send(request: &Command) -> Result<(), FieldError> {
    black_box(SendMessageHeader::decode(request)?);
    Ok(())
}

fn pull(request: &Command) -> Result<(), FieldError> {
    black_box(PullMessageHeader::decode(request)?);
    Ok(())
}

fn decode(request: Command, typed: fn(&Command) -> Result<(), FieldError>) -> io::Result<Opened> {
    let mut header = BytesMut::new();
    request
        .header
        .encode(request.codec, &mut header)
        .map_err(io::Error::other)?;
    let mut kept = request;
    Ok(Opened::new(header.len(), move || {
        kept.header
            .decode_into(kept.codec, black_box(&header))
            .map_err(io::Error::other)?;
        typed(&kept).map_err(io::Error::other)
    }))
}

fn encode(codec: HeaderCodec, fields: &'static impl HeaderFields<'static>) -> io::Result<Opened> {
    let mut answer = Answer {
        kept: Command::default().with_codec(codec),
        wire: BytesMut::with_capacity(4096),
    };
    answer.write(fields)?;
    Ok(Opened::new(answer.wire.len(), move || {
        answer.write(black_box(fields))
    }))
}

struct Answer {
    kept: Command,
    wire: BytesMut,
}

impl Answer {
    fn write<'a>(&mut self, fields: &impl HeaderFields<'a>) -> io::Result<()> {
        let header = &mut self.kept.header;
        header.clear(ResponseCode::SUCCESS.value(), 1, FLAG_RESPONSE);
        fields.write_fields(&mut header.fields);
        self.wire.clear();
        self.kept
            .encode_head(0, &mut self.wire)
            .map_err(io::Error::other)?;
        black_box(&self.wire);
        Ok(())
    }
}
