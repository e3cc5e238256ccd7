//! Why there is no TLS.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a certificate cannot be used. Says which file and what to do about it, and never what a key contains.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is far larger than a certificate chain or a key.
    #[error("{}: {found_size_bytes} bytes are too many for a certificate chain or a key, at most {max_size_bytes} are read", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it has.
        found_size_bytes: u64,
        /// What is read at the most.
        max_size_bytes: u64,
    },
    /// A file holds something else than what is wanted.
    #[error("{}: no usable {wanted} in PEM form: {found}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong.
        found: String,
    },
    /// The key does not belong to the certificate, or is of a kind that nobody can use.
    #[error("{} and {} do not go together: {source}", .certificate.display(), .key.display())]
    Pair {
        /// The file of the chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the library says.
        source: rustls::Error,
    },
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The library refuses what was made or configured.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}
