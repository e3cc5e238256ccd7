//! TLS as the settings want it, for every port of the process.

use anyhow::Result;
use kourou_tls::{Mode, Source, Tls};

use crate::config::{ConfigError, Settings};

/// Reads or makes the certificate.
pub(super) fn open(settings: &Settings) -> Result<Tls> {
    let source = match (&settings.tls_cert, &settings.tls_key) {
        (None, None) => Source::SelfSigned,
        (Some(certificate), Some(key)) => Source::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        },
        (Some(_), None) => return Err(half("tls-cert", "tls-key")),
        (None, Some(_)) => return Err(half("tls-key", "tls-cert")),
    };
    Ok(Tls::new(settings.tls_mode, source)?)
}

fn half(given: &'static str, missing: &'static str) -> anyhow::Error {
    ConfigError::HalfOfTls { given, missing }.into()
}

/// What a start says of it.
pub(super) fn line(settings: &Settings) -> String {
    match (settings.tls_mode, &settings.tls_cert) {
        (Mode::Disabled, _) => "disabled: connections are plain".to_owned(),
        (mode, Some(path)) => format!("{mode}, with the certificate in {}", path.display()),
        (mode, None) => {
            format!(
                "{mode}, with a certificate made just now: it encrypts and proves nothing (--tls-cert, --tls-key)"
            )
        }
    }
}
