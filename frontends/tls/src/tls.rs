//! What a process has of TLS, and what each of its ports gets of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use tokio::net::TcpStream;

use crate::certificate::{Files, Look, Shown, self_signed};
use crate::error::TlsError;
use crate::mode::Mode;
use crate::stream::Stream;

/// How often the files of a certificate are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// Made at the start, signed by itself, kept nowhere.
    #[default]
    SelfSigned,
    /// Two files in PEM form.
    Files {
        /// The chain, the server's own certificate first.
        certificate: PathBuf,
        /// Its private key, not encrypted.
        key: PathBuf,
    },
}

/// The TLS of a process.
#[derive(Debug)]
pub struct Tls {
    mode: Mode,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) shown: Arc<Shown>,
    files: Option<Files>,
    /// What the files looked like before they were read.
    seen: Look,
}

impl Tls {
    /// Reads or makes the certificate.
    ///
    /// # Errors
    ///
    /// A file is not there, is not what it should be, or does not go with the other.
    pub fn new(mode: Mode, source: Source) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let files = match source {
            Source::SelfSigned => None,
            Source::Files { certificate, key } => Some(Files { certificate, key }),
        };
        let seen = files.as_ref().map(Files::look).unwrap_or_default();
        let certificate = match &files {
            Some(files) => files.read(&provider)?,
            None => self_signed(&provider)?,
        };
        Ok(Self {
            mode,
            provider,
            shown: Arc::new(Shown::new(certificate)),
            files,
            seen,
        })
    }

    /// What a port needs that speaks one of the protocols `alpn` (RFC 7301) inside TLS; with none it does not take part in that
    /// negotiation.
    ///
    /// # Errors
    ///
    /// The library cannot do what is configured.
    pub fn port(&self, alpn: &[&[u8]]) -> Result<PortTls, TlsError> {
        if self.mode == Mode::Disabled {
            return Ok(PortTls::default());
        }
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.shown.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let config = Arc::new(config);
        Ok(PortTls(match self.mode {
            Mode::Disabled => Takes::Plain,
            Mode::Permissive => Takes::Both(config),
            Mode::Enforcing => Takes::Tls(config),
        }))
    }

    /// Looks at the files, and shows new connections what is in them if they have changed. Reads files.
    pub fn refresh(&mut self) -> Change {
        let Some(files) = &self.files else {
            return Change::None;
        };
        let look = files.look();
        if look == self.seen {
            return Change::None;
        }
        self.seen = look;
        match files.read(&self.provider) {
            Ok(certificate) => {
                self.shown.replace(certificate);
                Change::Shown
            }
            Err(error) => Change::Refused(error),
        }
    }

    /// Refreshes what is shown every few seconds, until it is dropped.
    pub async fn follow_files(mut self) {
        while self.files.is_some() {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let looked = tokio::task::spawn_blocking(move || {
                let change = self.refresh();
                (self, change)
            });
            let Ok((tls, change)) = looked.await else {
                return;
            };
            self = tls;
            match change {
                Change::None => {}
                Change::Shown => tracing::info!("the certificate has changed; new connections are shown it"),
                Change::Refused(error) => {
                    tracing::error!(%error, "the changed certificate cannot be used; the one before stays");
                }
            }
        }
    }
}

/// What a look at the files of a certificate has found.
#[derive(Debug)]
pub enum Change {
    /// Nothing new.
    None,
    /// A new certificate, which new connections are shown from now on.
    Shown,
    /// A change that cannot be used. What was shown before is shown further.
    Refused(TlsError),
}

/// Which connections one port takes. Cloned for each of them.
#[derive(Debug, Clone, Default)]
pub struct PortTls(Takes);

#[derive(Debug, Clone, Default)]
pub(crate) enum Takes {
    #[default]
    Plain,
    Both(Arc<ServerConfig>),
    Tls(Arc<ServerConfig>),
}

impl PortTls {
    /// A connection of the port; what it speaks is found out later.
    #[must_use]
    pub fn stream(&self, tcp: TcpStream) -> Stream {
        Stream::new(tcp, self.0.clone())
    }
}
