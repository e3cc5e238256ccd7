//! What is spoken on the streams of a connection.

/// What is spoken on the streams of a connection, by the name that the handshake agrees on (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Requests to a broker.
    Broker,
    /// Requests to a name server.
    NameServer,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Broker, Self::NameServer];

    /// Its name. The number changes with what is around the remoting protocol, not with the protocol itself.
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Broker => b"rocketmq-broker/1",
            Self::NameServer => b"rocketmq-namesrv/1",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == alpn)
    }
}
