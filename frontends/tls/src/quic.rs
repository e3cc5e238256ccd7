//! TLS inside QUIC: version 1.3, never without.

use std::sync::Arc;

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::{ServerConfig, SupportedCipherSuite};

use crate::error::TlsError;
use crate::tls::Tls;

impl Tls {
    /// What a QUIC port needs that speaks one of the protocols `alpn` (RFC 7301). The mode is about ports that could be plain, so it
    /// does not matter here. A client cannot send anything before the handshake is over: replayed, it would be sent twice.
    ///
    /// # Errors
    ///
    /// The library cannot do what is configured.
    pub fn quic(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(self.shown.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    /// SHA-256 of the certificate that is shown at the moment, in hexadecimal digits: by it a client can know a server whose
    /// certificate nobody has signed.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.shown
            .end_entity()
            .map(|certificate| hex(&sha256(&certificate)))
            .unwrap_or_default()
    }
}

/// The hash that the library has for itself, so that no other is linked.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    if let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 {
        hash.copy_from_slice(suite.common.hash_provider.hash(bytes).as_ref());
    }
    hash
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
