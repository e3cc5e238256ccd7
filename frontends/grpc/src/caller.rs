//! Who calls: what the headers of a request say.

use std::net::SocketAddr;
use std::time::Duration;

use kourou_proto::Language;
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::limits::CLIENT_ID_SIZE_BYTES_MAX;
use crate::refusal::Refusal;
use crate::wire::v2::Code;

const CLIENT_ID: &str = "x-mq-client-id";
const LANGUAGE: &str = "x-mq-language";
const VERSION: &str = "x-mq-client-version";
const TIMEOUT: &str = "grpc-timeout";

/// The other end of the connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The client that a request is from. Everything here is the client's own word, but for its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) language: Language,
    pub(crate) peer: SocketAddr,
}

impl Caller {
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Refusal> {
        let headers = request.metadata();
        let client_id = text(headers, CLIENT_ID).trim();
        if client_id.is_empty() {
            return Err(Refusal::new(
                Code::ClientIdRequired,
                format!("the header {CLIENT_ID} is missing or blank"),
            ));
        }
        if client_id.len() > CLIENT_ID_SIZE_BYTES_MAX {
            return Err(Refusal::new(
                Code::BadRequest,
                format!("the header {CLIENT_ID} is longer than {CLIENT_ID_SIZE_BYTES_MAX} bytes"),
            ));
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok(Self {
            client_id: client_id.to_owned(),
            language: language(text(headers, LANGUAGE)),
            peer: request.extensions().get().map_or(nowhere, |Peer(peer)| *peer),
        })
    }
}

fn text<'a>(headers: &'a MetadataMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn language(name: &str) -> Language {
    match name {
        "GOLANG" => Language::Go,
        "DOT_NET" => Language::Dotnet,
        // The client for Node.js calls itself so.
        "HTTP" => Language::NodeJs,
        name => Language::from_name(name),
    }
}

/// The version that the caller says it has.
pub(crate) fn version<T>(request: &Request<T>) -> &str {
    text(request.metadata(), VERSION)
}

/// How long the caller waits for the answer, if it says.
pub(crate) fn patience<T>(request: &Request<T>) -> Option<Duration> {
    parse_timeout(text(request.metadata(), TIMEOUT))
}

/// At most eight digits and a unit, by the gRPC protocol.
fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_required() {
        let mut request = Request::new(());
        let code = Caller::of(&request).map_err(|refusal| refusal.code);
        assert_eq!(code, Err(Code::ClientIdRequired));
        request.metadata_mut().insert(CLIENT_ID, "  ".parse().unwrap());
        assert!(Caller::of(&request).is_err());
        request
            .metadata_mut()
            .insert(CLIENT_ID, "host@1@2".parse().unwrap());
        request
            .metadata_mut()
            .insert(LANGUAGE, "KLINGON".parse().unwrap());
        let caller = Caller::of(&request).unwrap();
        assert_eq!(
            (caller.client_id.as_str(), caller.language),
            ("host@1@2", Language::Other)
        );
        let long = "x".repeat(CLIENT_ID_SIZE_BYTES_MAX + 1);
        request.metadata_mut().insert(CLIENT_ID, long.parse().unwrap());
        let code = Caller::of(&request).map_err(|refusal| refusal.code);
        assert_eq!(code, Err(Code::BadRequest));
    }

    #[test]
    fn timeouts() {
        assert_eq!(parse_timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse_timeout("23000m"), Some(Duration::from_secs(23)));
        assert_eq!(
            parse_timeout("99999999H").map(|long| long.as_secs()),
            Some(359_999_996_400)
        );
        for bad in ["", "S", "3", "123456789m", "-1S", "3X", "\u{e9}"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
