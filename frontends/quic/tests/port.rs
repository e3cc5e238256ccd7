//! The port and the link, against each other on loopback. What speaks on the streams is an echo: the frames are others' matter.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kourou_quic::{Endpoint, HandOn, Hello, Limits, Link, LinkError, LinkOptions, Protocol, Stream, serve};
use kourou_tls::{Mode, Source, Tls, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(20);
const BROKER: &str = "10.1.2.3:10911";

struct Port {
    address: SocketAddr,
    fingerprint: String,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

/// A port at `address` whose broker says back what it hears, and whose name server answers each frame with a route.
fn port(address: &str, limits: Limits) -> Port {
    // A port that could not be plain anyway.
    let tls = Tls::new(Mode::Disabled, Source::SelfSigned).unwrap();
    let endpoint = Endpoint::listen(address.parse().unwrap(), &tls, &Protocol::ALL, limits).unwrap();
    let (address, fingerprint) = (endpoint.local_addr().unwrap(), tls.fingerprint());
    let shutdown = CancellationToken::new();
    let hello = Hello {
        broker: BROKER.to_owned(),
    };
    let serving = tokio::spawn(serve(
        endpoint,
        hello,
        Some(each(echo)),
        Some(each(route)),
        shutdown.clone(),
    ));
    Port {
        address,
        fingerprint,
        shutdown,
        serving,
    }
}

fn each<F: Future<Output = ()> + Send + 'static>(speak: fn(Stream) -> F) -> HandOn {
    Arc::new(move |stream, peer| {
        assert!(peer.ip().is_loopback());
        drop(tokio::spawn(speak(stream)));
        true
    })
}

async fn echo(stream: Stream) {
    let (mut from, mut to) = split(stream);
    let _ = copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

fn frame(body: &str) -> Vec<u8> {
    let mut bytes = ((4 + 2 + body.len()) as u32).to_be_bytes().to_vec();
    bytes.extend(2_u32.to_be_bytes());
    bytes.extend(b"{}");
    bytes.extend(body.as_bytes());
    bytes
}

async fn route(mut stream: Stream) {
    let asked = frame("route?").len();
    while stream.read_exact(&mut vec![0; asked]).await.is_ok() {
        let answer = frame(&format!(
            r#"{{"brokerAddrs":{{0:"{BROKER}",1:"10.9.9.9:10911"}}}}"#
        ));
        stream.write_all(&answer).await.unwrap();
    }
}

fn options(port: &Port, trust: Trust) -> LinkOptions {
    LinkOptions {
        host: port.address.ip().to_string(),
        port: port.address.port(),
        server_name: Some("localhost".to_owned()),
        trust,
        limits: Limits::default(),
    }
}

struct Local {
    names: SocketAddr,
    broker: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), LinkError>>,
}

async fn link(port: &Port) -> Local {
    let trust = Trust::fingerprint(&port.fingerprint).unwrap();
    let link = Link::open(options(port, trust)).await.unwrap();
    assert_eq!(link.broker().await.unwrap(), BROKER);
    let names = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (names_at, broker_at) = (names.local_addr().unwrap(), broker.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(link.serve(names, broker, shutdown.clone()));
    Local {
        names: names_at,
        broker: broker_at,
        shutdown,
        serving,
    }
}

/// Says the text through a local port of the broker and hears it again.
async fn heard(stream: &mut TcpStream, text: &str) -> bool {
    let mut heard = vec![0; text.len()];
    let said = async {
        stream.write_all(text.as_bytes()).await?;
        stream.read_exact(&mut heard).await
    };
    timeout(TIMEOUT, said).await.unwrap().is_ok() && heard == text.as_bytes()
}

#[tokio::test]
async fn connections_go_through_and_end_on_both_sides() {
    let port = port("127.0.0.1:0", Limits::default());
    let local = link(&port).await;
    let mut streams = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(local.broker).await.unwrap();
        assert!(heard(&mut stream, &format!("connection {number}")).await);
        streams.push(stream);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        assert!(heard(stream, &format!("again {number}")).await);
        stream.shutdown().await.unwrap();
        // The end goes to the server, and comes back.
        let mut rest = Vec::new();
        timeout(TIMEOUT, stream.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap();
        assert!(rest.is_empty());
    }
    // More than any window on the way.
    let large: Vec<u8> = (0..12 << 20).map(|at| (at % 251) as u8).collect();
    let stream = TcpStream::connect(local.broker).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let said = large.clone();
    let saying = tokio::spawn(async move {
        to.write_all(&said).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    timeout(TIMEOUT, from.read_to_end(&mut back))
        .await
        .unwrap()
        .unwrap();
    saying.await.unwrap();
    assert!(back == large);

    local.shutdown.cancel();
    timeout(TIMEOUT, local.serving).await.unwrap().unwrap().unwrap();
    port.shutdown.cancel();
    timeout(TIMEOUT, port.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn routes_lead_to_the_link() {
    let port = port("127.0.0.1:0", Limits::default());
    let local = link(&port).await;
    let mut stream = TcpStream::connect(local.names).await.unwrap();
    let answer = frame(&format!(
        r#"{{"brokerAddrs":{{0:"{}",1:"10.9.9.9:10911"}}}}"#,
        local.broker
    ));
    for _ in 0..2 {
        stream.write_all(&frame("route?")).await.unwrap();
        let mut heard = vec![0; answer.len()];
        timeout(TIMEOUT, stream.read_exact(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard, answer);
    }
}

#[tokio::test]
async fn whoever_is_not_believed_is_told_so() {
    let port = port("127.0.0.1:0", Limits::default());
    let other = Trust::Fingerprint([7; 32]);
    let error = Link::open(options(&port, other)).await.unwrap_err();
    assert!(error.is_about_trust(), "{error}");

    let authority = tempfile::NamedTempFile::new().unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(authority.path(), stranger.cert.pem()).unwrap();
    let trust = Trust::Authorities(authority.path().to_owned());
    let error = Link::open(options(&port, trust)).await.unwrap_err();
    assert!(error.is_about_trust(), "{error}");
    Link::open(options(&port, Trust::Anyone)).await.unwrap();
}

/// Clients come back by themselves, so the link does too.
#[tokio::test]
async fn a_link_outlives_its_server() {
    let first = port("127.0.0.1:0", Limits::default());
    let link = Link::open(options(&first, Trust::Anyone)).await.unwrap();
    let names = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = broker.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    drop(tokio::spawn(link.serve(names, broker, shutdown.clone())));
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert!(heard(&mut stream, "before").await);

    first.shutdown.cancel();
    let address = first.address.to_string();
    // The connection is closed as the server's end closes it.
    let mut rest = Vec::new();
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.unwrap();
    timeout(TIMEOUT, first.serving).await.unwrap().unwrap();
    let mut nobody = TcpStream::connect(at).await.unwrap();
    assert!(!heard(&mut nobody, "meanwhile").await);

    let _second = port(&address, Limits::default());
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert!(heard(&mut stream, "after").await);
}

#[tokio::test]
async fn no_more_connections_and_streams_than_there_may_be() {
    let mut limits = Limits::default();
    limits.connections_max = 2;
    limits.streams_max = 3;
    let port = port("127.0.0.1:0", limits);
    // Two connections: one for each protocol.
    let local = link(&port).await;
    let mut open = Vec::new();
    for number in 0..3 {
        let mut stream = TcpStream::connect(local.broker).await.unwrap();
        assert!(heard(&mut stream, &number.to_string()).await);
        open.push(stream);
    }
    let refused = Link::open(options(&port, Trust::Anyone)).await.unwrap_err();
    assert!(matches!(refused, LinkError::Connection { .. }), "{refused}");
    // One that ends makes room for the next.
    let mut next = TcpStream::connect(local.broker).await.unwrap();
    drop(open.pop());
    assert!(heard(&mut next, "next").await);
}

/// Datagrams of somebody who speaks no QUIC do not keep it from serving.
#[tokio::test]
async fn rubbish_is_ignored() {
    let port = port("127.0.0.1:0", Limits::default());
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in 0..1_400 {
        let first = [0x00, 0x40, 0xc0, 0xff][length % 4];
        let mut datagram = vec![length as u8; length];
        if let Some(byte) = datagram.first_mut() {
            *byte = first;
        }
        socket.send_to(&datagram, port.address).await.unwrap();
    }
    let local = link(&port).await;
    let mut stream = TcpStream::connect(local.broker).await.unwrap();
    assert!(heard(&mut stream, "still there").await);
}

/// A protocol that nobody speaks fails the handshake, so that a client hears of it.
#[tokio::test]
async fn a_port_without_a_name_server_says_so() {
    let tls = Tls::new(Mode::Permissive, Source::SelfSigned).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::listen(any, &tls, &[Protocol::Broker], Limits::default()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let (ended, _streams) = mpsc::channel::<Stream>(1);
    let hand_on: HandOn = Arc::new(move |stream, _| ended.try_send(stream).is_ok());
    let shutdown = CancellationToken::new();
    drop(tokio::spawn(serve(
        endpoint,
        Hello::default(),
        Some(hand_on),
        None,
        shutdown,
    )));
    let options = LinkOptions {
        host: address.ip().to_string(),
        port: address.port(),
        server_name: None,
        trust: Trust::Anyone,
        limits: Limits::default(),
    };
    let error = Link::open(options).await.unwrap_err();
    assert!(
        !error.is_about_trust() && error.to_string().contains("known protocol"),
        "{error}"
    );
}
