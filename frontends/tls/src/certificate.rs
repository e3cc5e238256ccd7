//! The certificate that all ports show, and how it comes from files.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::TlsError;

/// The longest file that is read; chains of a dozen certificates have a tenth of it.
const FILE_SIZE_BYTES_MAX: u64 = 1 << 20;

/// What a certificate made here is good for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What new connections are shown. Those that are there keep what they were shown.
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    pub(crate) fn new(certificate: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(certificate)))
    }

    pub(crate) fn replace(&self, certificate: CertifiedKey) {
        *self.0.write() = Arc::new(certificate);
    }

    /// The server's own certificate, as it is sent.
    pub(crate) fn end_entity(&self) -> Option<CertificateDer<'static>> {
        self.0.read().cert.first().cloned()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// A certificate that is signed by itself.
pub(crate) fn self_signed(provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok(CertifiedKey::from_der(
        vec![made.cert.der().clone()],
        key.into(),
        provider,
    )?)
}

/// A chain and its key.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How to see that a file is another one: replaced, renamed over or written again.
pub(crate) type Look = [Option<(SystemTime, u64, u64)>; 2];

impl Files {
    /// Reads both.
    pub(crate) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let wrong = |path: &Path, wanted, found: String| TlsError::Pem {
            path: path.to_owned(),
            wanted,
            found,
        };
        let chain = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(&self.certificate, "certificate", error.to_string()))?;
        if chain.is_empty() {
            let found = "there is no block BEGIN CERTIFICATE".to_owned();
            return Err(wrong(&self.certificate, "certificate", found));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| wrong(&self.key, "private key (not encrypted)", error.to_string()))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }

    /// What they look like from outside. A file that is not there just now is one of the looks.
    pub(crate) fn look(&self) -> Look {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).ok().map(|metadata| of(&metadata)))
    }
}

fn of(metadata: &Metadata) -> (SystemTime, u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    (changed, metadata.len(), metadata.ino())
}

/// A file that is no longer than certificates are.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let found_size_bytes = file.metadata().map_err(failed)?.len();
    if found_size_bytes > FILE_SIZE_BYTES_MAX {
        return Err(TlsError::TooLarge {
            path: path.to_owned(),
            found_size_bytes,
            max_size_bytes: FILE_SIZE_BYTES_MAX,
        });
    }
    let mut bytes = Vec::new();
    // A file may grow after the look, and a device has no length.
    file.take(FILE_SIZE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}
