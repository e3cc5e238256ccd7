use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Change, Mode, PortTls, Source, Tls, TlsError};

/// Answers each connection's first four bytes with themselves.
async fn echo(tls: PortTls) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut stream = tls.stream(tcp);
            tokio::spawn(async move {
                let mut read = [0; 4];
                stream.read_exact(&mut read).await?;
                stream.write_all(&read).await?;
                stream.flush().await?;
                // Until the peer has enough of it.
                stream.read(&mut read).await
            });
        }
    });
    address
}

/// A new certificate and its key, in the files `certificate.pem` and `key.pem` of a folder.
fn write_pair(folder: &Path) -> (Source, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&key, made.signing_key.serialize_pem()).expect("the key is written");
    fs::write(&certificate, made.cert.pem()).expect("the certificate is written");
    (Source::Files { certificate, key }, made.cert.der().clone())
}

/// A client that trusts one certificate and no other.
async fn connect(
    address: std::net::SocketAddr,
    trusted: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

async fn says(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), text: &[u8; 4]) -> io::Result<()> {
    stream.write_all(text).await?;
    stream.flush().await?;
    let mut read = [0; 4];
    stream.read_exact(&mut read).await?;
    assert_eq!(&read, text);
    Ok(())
}

#[tokio::test]
async fn each_mode_takes_what_it_says() {
    for (mode, plain_served, tls_served) in [
        (Mode::Disabled, true, false),
        (Mode::Permissive, true, true),
        (Mode::Enforcing, false, true),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, trusted) = write_pair(folder.path());
        let tls = Tls::new(mode, source).expect("a certificate");
        let address = echo(tls.port(&[]).expect("a port's TLS")).await;

        let mut plain = TcpStream::connect(address).await.expect("connected");
        let served = says(&mut plain, b"ping").await;
        assert_eq!(served.is_ok(), plain_served, "plain, {mode}: {served:?}");

        let encrypted = connect(address, &trusted, &[]).await;
        assert_eq!(encrypted.is_ok(), tls_served, "TLS, {mode}: {encrypted:?}");
        if let Ok(mut stream) = encrypted {
            says(&mut stream, b"ping").await.expect("an echo");
        }
    }
}

#[tokio::test]
async fn a_protocol_is_negotiated_where_a_port_names_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, trusted) = write_pair(folder.path());
    let tls = Tls::new(Mode::Permissive, source).expect("a certificate");
    let address = echo(tls.port(&[b"h2"]).expect("a port's TLS")).await;
    let stream = connect(address, &trusted, &[b"http/1.1", b"h2"])
        .await
        .expect("h2");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let refused = connect(address, &trusted, &[b"http/1.1"]).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_new_connections_and_a_broken_one_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, first) = write_pair(folder.path());
    let mut tls = Tls::new(Mode::Permissive, source).expect("a certificate");
    let address = echo(tls.port(&[]).expect("a port's TLS")).await;
    let mut old = connect(address, &first, &[])
        .await
        .expect("the first certificate");
    assert!(matches!(tls.refresh(), Change::None));

    let (_, second) = write_pair(folder.path());
    assert!(matches!(tls.refresh(), Change::Shown));
    assert!(connect(address, &first, &[]).await.is_err());
    connect(address, &second, &[])
        .await
        .expect("the second certificate");
    says(&mut old, b"ping")
        .await
        .expect("the connection that was there lives on");

    fs::write(folder.path().join("key.pem"), "nothing of use").expect("written");
    assert!(matches!(tls.refresh(), Change::Refused(TlsError::Pem { .. })));
    assert!(matches!(tls.refresh(), Change::None), "said once");
    connect(address, &second, &[])
        .await
        .expect("the one before stays");
    let (_, third) = write_pair(folder.path());
    assert!(matches!(tls.refresh(), Change::Shown));
    connect(address, &third, &[])
        .await
        .expect("the third certificate");
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_ends() {
    let tls = Tls::new(Mode::Permissive, Source::SelfSigned).expect("a certificate");
    let address = echo(tls.port(&[]).expect("a port's TLS")).await;
    let mut client = TcpStream::connect(address).await.expect("connected");
    // A record that announces 512 bytes of a handshake, and no more.
    client.write_all(&[0x16, 3, 1, 2, 0]).await.expect("written");
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), client.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "still open after 30 s");
}

#[test]
fn what_is_wrong_with_files_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, _) = write_pair(folder.path());
    let Source::Files { certificate, key } = source.clone() else {
        unreachable!("files were written");
    };
    let other = tempfile::tempdir().expect("a folder");
    let (Source::Files { key: other_key, .. }, _) = write_pair(other.path()) else {
        unreachable!("files were written");
    };
    let failed = |certificate: &Path, key: &Path| {
        let source = Source::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        Tls::new(Mode::Permissive, source).expect_err("refused")
    };
    assert!(matches!(
        failed(&certificate, &folder.path().join("absent")),
        TlsError::Read { .. }
    ));
    assert!(matches!(
        failed(&key, &key),
        TlsError::Pem {
            wanted: "certificate",
            ..
        }
    ));
    assert!(matches!(failed(&certificate, &certificate), TlsError::Pem { .. }));
    assert!(matches!(failed(&certificate, &other_key), TlsError::Pair { .. }));
    let large = folder.path().join("large");
    fs::write(&large, vec![b' '; 2 << 20]).expect("written");
    assert!(matches!(failed(&large, &key), TlsError::TooLarge { .. }));
    let text = failed(&certificate, &certificate).to_string();
    assert!(text.contains("certificate.pem: no usable private key"), "{text}");
}
