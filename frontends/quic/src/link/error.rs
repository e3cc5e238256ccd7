//! Why a link does not lead anywhere.

use std::io;

use kourou_tls::TlsError;
use thiserror::Error;

/// Why a link does not lead anywhere.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A socket cannot be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Whom to believe cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library for QUIC cannot use the one for TLS.
    #[error("TLS without the cipher suite that QUIC begins with")]
    CipherSuite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The name does not resolve.
    #[error("{host}: {source}")]
    Name {
        /// What was asked for.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// What was asked for.
        host: String,
    },
    /// Something there cannot be called by that name.
    #[error("{to} (UDP): {source}")]
    Connect {
        /// Whom.
        to: String,
        /// What the library says.
        source: quinn::ConnectError,
    },
    /// The connection failed or was lost.
    #[error("{to} (UDP): {source}")]
    Connection {
        /// With whom.
        to: String,
        /// What the library says.
        source: quinn::ConnectionError,
    },
    /// Nobody answers.
    #[error("{to} (UDP): no answer within {seconds} s; is kourou running there, and its QUIC port open?")]
    Silent {
        /// Who.
        to: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Somebody answers who speaks QUIC and is no kourou.
    #[error("{to} (UDP): the server does not say what it is; is that the QUIC port of kourou?")]
    NoHello {
        /// Who.
        to: String,
    },
    /// As many streams are open as the server takes.
    #[error("{to} (UDP): the server takes no more streams")]
    Streams {
        /// Who.
        to: String,
    },
}

impl LinkError {
    /// Whether the server is not believed.
    #[must_use]
    pub fn is_about_trust(&self) -> bool {
        // The alert that a handshake fails with is in the code (RFC 9001, section 4.8); those from 42 to 49, 51 and 116 are about certificates and signatures.
        let Self::Connection {
            source: quinn::ConnectionError::TransportError(error),
            ..
        } = self
        else {
            return false;
        };
        let code = u64::from(error.code);
        matches!(code.checked_sub(0x100), Some(42..=49 | 51 | 116))
    }
}
