//! A client that answers what it is asked, byte by byte as its test says.

use bytes::BytesMut;
use kourou_proto::body::{HeartbeatData, ProducerData};
use kourou_proto::{Command, FrameDecoder, HeaderCodec, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Node, TIMEOUT, heartbeat};

pub(crate) struct Peer {
    stream: TcpStream,
    input: BytesMut,
    next_opaque: i32,
    codec: HeaderCodec,
}

impl Peer {
    pub(crate) async fn connect(node: &Node) -> Self {
        Self {
            stream: TcpStream::connect(&node.broker_address).await.unwrap(),
            input: BytesMut::new(),
            // Far from the broker's numbers, and close to where they wrap around.
            next_opaque: i32::MAX,
            codec: HeaderCodec::Json,
        }
    }

    pub(crate) fn speaking(mut self, codec: HeaderCodec) -> Self {
        self.codec = codec;
        self
    }

    /// A consumer of `group`.
    pub(crate) async fn consumer(node: &Node, client_id: &str, group: &str, topic: &str) -> Self {
        let mut peer = Self::connect(node).await;
        peer.call(heartbeat(client_id, group, topic)).await;
        peer
    }

    /// A producer of the group `pg`.
    pub(crate) async fn producer(node: &Node, client_id: &str) -> Self {
        let mut peer = Self::connect(node).await;
        let body = HeartbeatData {
            client_id: client_id.to_owned(),
            producer_data_set: vec![ProducerData {
                group_name: "pg".to_owned(),
            }],
            ..HeartbeatData::default()
        };
        peer.call(Command::request(RequestCode::HEART_BEAT, 0).with_body(body.encode()))
            .await;
        peer
    }

    async fn write(&mut self, command: &Command) {
        let mut wire = BytesMut::new();
        command.encode(&mut wire).unwrap();
        self.stream.write_all(&wire).await.unwrap();
    }

    async fn read(&mut self) -> Command {
        loop {
            if let Some(frame) = FrameDecoder::default().decode(&mut self.input).unwrap() {
                return Command::decode(frame).unwrap();
            }
            let read = self.stream.read_buf(&mut self.input);
            let count = timeout(TIMEOUT, read).await.unwrap().unwrap();
            assert!(count > 0, "the broker has closed the connection");
        }
    }

    /// Asks the broker; pushes that come before its answer are passed over.
    pub(crate) async fn call(&mut self, request: Command) -> Command {
        self.next_opaque = self.next_opaque.wrapping_add(1);
        let mut request = request.with_codec(self.codec);
        request.header.opaque = self.next_opaque;
        self.write(&request).await;
        loop {
            let command = self.read().await;
            if command.is_response() && command.opaque() == self.next_opaque {
                assert_eq!(
                    command.response_code(),
                    ResponseCode::SUCCESS,
                    "{}",
                    command.remark()
                );
                return command;
            }
        }
    }

    /// The next thing that the broker asks or tells, notices of changed groups apart.
    pub(crate) async fn asked(&mut self) -> Command {
        loop {
            let command = self.read().await;
            if !command.is_response() && command.code() != RequestCode::NOTIFY_CONSUMER_IDS_CHANGED {
                return command;
            }
        }
    }

    /// Answers a question of the broker's.
    pub(crate) async fn answer(&mut self, question: &Command, answer: Command) {
        let mut answer = answer.with_codec(self.codec);
        answer.header.opaque = question.opaque();
        self.write(&answer).await;
    }
}
