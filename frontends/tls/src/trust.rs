//! Which servers a client of ours believes.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::certificate::read;
use crate::error::TlsError;
use crate::quic::sha256;

/// Which servers a client believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those whose certificate one of the authorities in this file (PEM) has signed, for the name that they are called by.
    Authorities(PathBuf),
    /// The one whose certificate has this SHA-256, see [`Tls::fingerprint`](crate::Tls::fingerprint).
    Fingerprint([u8; 32]),
    /// Any: encrypted, and possibly with somebody else.
    Anyone,
}

impl Trust {
    /// The fingerprint that these 64 hexadecimal digits are; colons between them are allowed.
    #[must_use]
    pub fn fingerprint(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut fingerprint = [0; 32];
        if digits.len() != 2 * fingerprint.len() {
            return None;
        }
        for (byte, pair) in fingerprint.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self::Fingerprint(fingerprint))
    }

    /// What a client needs that speaks `alpn` (RFC 7301) to such a server, by TLS 1.3.
    ///
    /// # Errors
    ///
    /// The file of the authorities cannot be read or has none.
    pub fn client(&self, alpn: &[u8]) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous();
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Authorities(path) => {
                let mut roots = RootCertStore::empty();
                let authorities: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
                    .filter_map(Result::ok)
                    .collect();
                let (added, _) = roots.add_parsable_certificates(authorities);
                let failed = |found: String| TlsError::Pem {
                    path: path.clone(),
                    wanted: "certificates of authorities",
                    found,
                };
                if added == 0 {
                    return Err(failed("there is none that can be used".to_owned()));
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| failed(error.to_string()))?
            }
            Self::Fingerprint(fingerprint) => Arc::new(Known {
                fingerprint: Some(*fingerprint),
                provider,
            }),
            Self::Anyone => Arc::new(Known {
                fingerprint: None,
                provider,
            }),
        };
        let mut config = builder
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }
}

/// Looks at nothing but the fingerprint. That the server has the certificate's key is always made sure of.
#[derive(Debug)]
struct Known {
    fingerprint: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.fingerprint {
            Some(wanted) if wanted != sha256(end_entity) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_tools_print_them() {
        let plain = "00ff".repeat(16);
        let Some(Trust::Fingerprint(bytes)) = Trust::fingerprint(&plain) else {
            panic!("{plain}");
        };
        assert_eq!(bytes[..2], [0, 255]);
        let colons = ["00", "FF"].repeat(16);
        assert_eq!(Trust::fingerprint(&colons.join(":")), Trust::fingerprint(&plain));
        for wrong in [
            "",
            "00ff",
            &"0g".repeat(32),
            &"\u{e9}".repeat(32),
            &"00".repeat(33),
        ] {
            assert_eq!(Trust::fingerprint(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_without_authorities_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Trust::Authorities(file.path().to_owned())
            .client(b"p")
            .unwrap_err();
        assert!(
            error.to_string().contains("certificates of authorities"),
            "{error}"
        );
    }
}
