//! Hosts and ports as people write them.

use std::fmt;

/// `host:port`, the port given; brackets around a numeric IPv6 host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl HostPort {
    #[cfg(test)]
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = split(text.trim())?;
        Some(Self {
            host: host.to_owned(),
            port: port?.parse().ok().filter(|port| *port != 0)?,
        })
    }

    /// One or more, separated by `;` as RocketMQ's tools do it, or by `,`.
    pub(crate) fn parse_list(text: &str) -> Option<Vec<Self>> {
        text.split([';', ','])
            .filter(|part| !part.trim().is_empty())
            .map(Self::parse)
            .collect::<Option<Vec<_>>>()
            .filter(|list| !list.is_empty())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What clients are told: a host, and a port when it is not the one listened on (behind a port mapping).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertise {
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl Advertise {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = split(text)?;
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
            None => None,
        };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Host and, where there is one, port. A bare IPv6 address has no port; with a port it stands in brackets.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        match rest {
            "" => (host, None),
            _ => (host, Some(rest.strip_prefix(':')?)),
        }
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
    (!host.is_empty() && host.len() <= HOST_LEN_MAX && host.bytes().all(plain)).then_some((host, port))
}

/// DNS allows no longer name.
const HOST_LEN_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_in_every_spelling() {
        for (text, host, port) in [
            ("localhost:9876", "localhost", 9876),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:9876", "::1", 9876),
        ] {
            let parsed = HostPort::parse(text);
            assert_eq!(parsed, Some(HostPort::new(host, port)));
            assert_eq!(parsed.map(|parsed| parsed.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "localhost",
            "localhost:",
            ":1",
            "localhost:0",
            "localhost:65536",
            "::1",
            "[::1]",
            "a b:1",
        ] {
            assert_eq!(HostPort::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lists_take_both_separators_and_no_empty_list() {
        let two = Some(vec![HostPort::new("a", 1), HostPort::new("b", 2)]);
        assert_eq!(HostPort::parse_list("a:1;b:2"), two);
        assert_eq!(HostPort::parse_list("a:1, b:2,"), two);
        assert_eq!(HostPort::parse_list(";"), None);
        assert_eq!(HostPort::parse_list("a:1;b"), None);
    }

    #[test]
    fn an_advertised_address_may_leave_the_port_out() {
        let parsed = |text| Advertise::parse(text).map(|it| (it.host, it.port));
        assert_eq!(
            parsed("broker.example"),
            Some(("broker.example".to_owned(), None))
        );
        assert_eq!(
            parsed("10.1.2.3:20911"),
            Some(("10.1.2.3".to_owned(), Some(20911)))
        );
        assert_eq!(parsed("fe80::1"), Some(("fe80::1".to_owned(), None)));
        assert_eq!(parsed("http://x"), None);
        assert_eq!(parsed(""), None);
    }
}
