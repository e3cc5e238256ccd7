//! Peers that mean harm, or are not gRPC at all, cost themselves their connection and nobody else anything.

use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use kourou_grpc::Limits;
use kourou_grpc::wire::health::HealthCheckRequest;
use kourou_grpc::wire::health::health_check_response::ServingStatus;
use kourou_grpc::wire::health::health_client::HealthClient;
use kourou_grpc::wire::v2::{Code, SendMessageRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::support::{Node, TIMEOUT, code, message, node, node_with};

async fn still_serves(node: &Node) {
    let mut health = HealthClient::new(node.wire("").await);
    let answer = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn bytes_that_are_no_http2() {
    let node = node().await;
    let many: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        &[0; 4096],
        &many,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nXXXXXXXXXXXXX",
    ] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        // It may be closed before all is written.
        let _ = stream.write_all(bytes).await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the connection was not closed");
    }
    still_serves(&node).await;
}

#[tokio::test]
async fn bytes_that_are_no_message() {
    let node = node().await;
    let mut wire = node.wire("c").await;
    for method in [
        "SendMessage",
        "QueryRoute",
        "Heartbeat",
        "EndTransaction",
        "PullMessage",
        "ReceiveMessage",
        "AckMessage",
        "ChangeInvisibleDuration",
        "ForwardMessageToDeadLetterQueue",
        "RecallMessage",
        "Telemetry",
        "Nothing",
    ] {
        // A message of 8 bytes that are none, and one that says that it is longer than any.
        for body in [
            b"\0\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
            b"\0\xff\xff\xff\xff\x08",
            b"\x07",
        ] {
            let request = Request::post(format!("/apache.rocketmq.v2.MessagingService/{method}"))
                .header(CONTENT_TYPE, "application/grpc")
                .body(Body::new(OneFrame(Some(bytes::Bytes::from_static(body)))))
                .unwrap();
            let answered = tokio::time::timeout(TIMEOUT, wire.call(request))
                .await
                .unwrap()
                .unwrap();
            assert!(
                answered.status().is_success(),
                "gRPC tells of failures in trailers"
            );
        }
    }
    still_serves(&node).await;
}

struct OneFrame(Option<bytes::Bytes>);

impl hyper::body::Body for OneFrame {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, tonic::Status>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let mut limits = Limits::default();
    limits.requests_size_bytes_max = 6 << 20;
    let node = node_with(limits, |_| {}).await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let send = |size: usize| SendMessageRequest {
        messages: vec![message("t", "1", &"x".repeat(size))],
    };
    let answer = client
        .send_message(send((4 << 20) + 1))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(&answer.status), Code::MessageBodyTooLarge);
    let status = client.send_message(send(7 << 20)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    let status = client.send_message(send(17 << 20)).await.unwrap_err();
    assert_ne!(status.code(), tonic::Code::Ok);
    let answer = client.send_message(send(1)).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let mut limits = Limits::default();
    limits.idle = Duration::from_millis(20);
    let node = node_with(limits, |_| {}).await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    still_serves(&node).await;
}
