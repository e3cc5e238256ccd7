use std::time::Duration;

use bytes::BytesMut;
use kourou_proto::{Command, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TIMEOUT, node, pull, send, sent};

/// Writes bytes and expects to be closed without an answer.
async fn is_closed(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    // A reset counts: bytes that we had not read yet were thrown away.
    assert!(
        closed.is_ok(),
        "{:?} is not closed",
        &bytes[..bytes.len().min(16)]
    );
    assert!(rest.is_empty(), "answered with {rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_bytes_close_their_own_connection_only() {
    let node = node().await;
    let good = node.link().await;
    let mut lying_header = vec![0, 0, 0, 30, 0, 0, 0, 26];
    lying_header.extend_from_slice(br#"{"code":310,"extFields":{"#);
    lying_header.push(b' ');
    let cases: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[0xff; 64],
        &[0, 0, 0, 4, 7, 0, 0, 0],
        &[0, 0, 0, 8, 1, 0, 0, 9, 0, 0, 0, 0],
        &lying_header,
    ];
    for address in [&node.broker_address, &node.names_address] {
        for bytes in cases {
            is_closed(address, bytes).await;
        }
    }
    assert_eq!(sent(&good, "T", 0, "", b"still here").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_codes_are_answered_as_upstream_says_it() {
    let node = node().await;
    for link in [node.link().await, node.names().await] {
        for code in [77, 13, 47, -5, i32::MAX] {
            let answer = link
                .call(Command::request(RequestCode::new(code), 0), TIMEOUT)
                .await
                .unwrap();
            assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
            assert_eq!(answer.remark(), format!(" request type {code} not supported"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_headers_and_bodies_are_survived() {
    let node = node().await;
    let link = node.link().await;
    // Every code that we know with fields that are missing, absurd, or of another type.
    for &code in RequestCode::ALL {
        for value in [
            "",
            "-1",
            "9223372036854775807",
            "99999999999999999999",
            "\u{1}",
            "%RETRY%",
        ] {
            let mut request = Command::request(code, 0).with_body("{\"a\":[1,{}]}");
            for name in [
                "a",
                "b",
                "c",
                "d",
                "e",
                "f",
                "g",
                "h",
                "i",
                "j",
                "l",
                "topic",
                "consumerGroup",
                "group",
                "queueId",
                "offset",
                "queueOffset",
                "maxMsgNums",
                "sysFlag",
                "suspendTimeoutMillis",
                "commitOffset",
                "perm",
                "readQueueNums",
                "writeQueueNums",
                "delayLevel",
                "groupName",
                "clientID",
                "timestamp",
            ] {
                request = request.with_field(name, value);
            }
            match link.call(request, TIMEOUT).await {
                Ok(_) => {}
                Err(error) => panic!("{code} with {value:?}: {error}"),
            }
        }
    }
    assert_eq!(sent(&link, "T", 0, "", b"x").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_not_served_without_end() {
    let node = node().await;
    let link = node.link().await;
    for _ in 0..64 {
        sent(&link, "T", 0, "", &[b'x'; 4_000]).await;
    }
    // 128 KiB an answer, and nobody reads.
    let mut greedy = TcpStream::connect(&node.broker_address).await.unwrap();
    let mut wire = BytesMut::new();
    for opaque in 0..1_000 {
        let mut request = pull("T", 0, 0, "*", 0);
        request.header.opaque = opaque;
        request.encode(&mut wire).unwrap();
    }
    let mut written = 0;
    while timeout(Duration::from_secs(1), greedy.write_all(&wire))
        .await
        .is_ok()
    {
        written += 1;
        assert!(written < 1_000, "a hundred gigabytes of answers were taken on");
    }
    // Others are served meanwhile, and the greedy one as soon as it reads.
    sent(&link, "T", 0, "", b"y").await;
    let mut first = vec![0; 1 << 20];
    timeout(TIMEOUT, greedy.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_what_was_read_and_closes() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    link.start(pull("T", 0, 1, "*", 60_000), |_| ()).unwrap();
    let answered = link.call(send("T", 0, "", b"y"), TIMEOUT);
    let (answered, ()) = tokio::join!(answered, async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        node.shutdown.cancel();
    });
    assert_eq!(answered.unwrap().response_code(), ResponseCode::SUCCESS);
    timeout(Duration::from_secs(2), link.closed())
        .await
        .expect("a held pull must not delay a stop");
    assert!(TcpStream::connect(&node.broker_address).await.is_err());
}
