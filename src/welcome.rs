//! The one short block that a start prints on stdout: where it listens, where its data is, how durable it is.

use std::fmt::Write as _;
use std::time::Duration;

use crate::output::{Paint, counted, size};

/// What there is to say; a part that was not started says nothing.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    pub(crate) took: Duration,
    pub(crate) name_server: Option<String>,
    pub(crate) broker: Option<BrokerLines>,
    /// Where gRPC clients are served.
    pub(crate) grpc: Option<String>,
    /// Where links are served, and by what they know the server.
    pub(crate) quic: Option<String>,
    /// Which connections the ports take, and what they show.
    pub(crate) tls: String,
}

#[derive(Debug)]
pub(crate) struct BrokerLines {
    /// Where it listens; absent when its port is 0.
    pub(crate) listens: Option<String>,
    /// What clients are told, when that is not where it listens.
    pub(crate) advertised: Option<String>,
    pub(crate) name: String,
    pub(crate) cluster: String,
    /// Outside name servers that it registers with.
    pub(crate) registers_with: Vec<String>,
    pub(crate) data: String,
    pub(crate) topics: u64,
    pub(crate) groups: u64,
    pub(crate) log_size_bytes: u64,
    pub(crate) recovery: Recovery,
    pub(crate) durable: bool,
    /// How the writer reaches the disk.
    pub(crate) writer: String,
}

/// How the store was found.
#[derive(Debug)]
pub(crate) enum Recovery {
    /// It did not exist.
    New,
    /// It had been closed.
    Clean { took: Duration },
    /// It had not been closed; this much of the log was read again.
    Crash {
        took: Duration,
        replayed_size_bytes: u64,
    },
}

impl Welcome {
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut out = format!(
            "{} is up after {} ms\n",
            paint.bold(concat!("kourou ", env!("CARGO_PKG_VERSION"))),
            self.took.as_millis()
        );
        let mut line = |label: &str, text: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {}{text}", paint.dim(&format!("{label:<13}")));
        };
        if let Some(address) = &self.name_server {
            line("name server", address);
        }
        let Some(broker) = &self.broker else {
            line("tls", &self.tls);
            return out;
        };
        line("broker", &broker.place(paint));
        if let Some(address) = &self.grpc {
            line("grpc", address);
        }
        if let Some(text) = &self.quic {
            line("quic", text);
        }
        line("tls", &self.tls);
        if !broker.registers_with.is_empty() {
            line("registers at", &broker.registers_with.join(", "));
        }
        line(
            "data",
            &format!("{}  {}", broker.data, paint.dim(&broker.content())),
        );
        line("durability", &broker.durability(paint));
        out
    }
}

impl BrokerLines {
    fn place(&self, paint: Paint) -> String {
        let mut text = self
            .listens
            .clone()
            .unwrap_or_else(|| "not listening (--broker-port 0)".to_owned());
        if let Some(advertised) = &self.advertised {
            let _ = write!(text, ", clients are told {advertised}");
        }
        let _ = write!(
            text,
            "  {}",
            paint.dim(&format!("{} in {}", self.name, self.cluster))
        );
        text
    }

    fn content(&self) -> String {
        let held = format!(
            "{}, {}, {}",
            counted(self.topics, "topic"),
            counted(self.groups, "group"),
            size(self.log_size_bytes)
        );
        match &self.recovery {
            Recovery::New => "new".to_owned(),
            Recovery::Clean { took } => format!("{held}; opened in {} ms", took.as_millis()),
            Recovery::Crash {
                took,
                replayed_size_bytes,
            } => {
                format!(
                    "{held}; not closed last time, recovered {} in {} ms",
                    size(*replayed_size_bytes),
                    took.as_millis()
                )
            }
        }
    }

    fn durability(&self, paint: Paint) -> String {
        let promise = if self.durable {
            "durable: a send is answered once it is on the disk".to_owned()
        } else {
            paint.yellow(
                "relaxed: a send is answered once the page cache has it; a power cut can take it back",
            )
        };
        format!("{promise}  {}", paint.dim(&self.writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker() -> BrokerLines {
        BrokerLines {
            listens: Some("127.0.0.1:10911".to_owned()),
            advertised: None,
            name: "kourou".to_owned(),
            cluster: "DefaultCluster".to_owned(),
            registers_with: Vec::new(),
            data: "./kourou-data".to_owned(),
            topics: 2,
            groups: 1,
            log_size_bytes: 5 << 20,
            recovery: Recovery::New,
            durable: true,
            writer: "pwrite, O_DIRECT + DSYNC".to_owned(),
        }
    }

    #[test]
    fn a_first_start() {
        let welcome = Welcome {
            took: Duration::from_millis(12),
            name_server: Some("127.0.0.1:9876".to_owned()),
            broker: Some(broker()),
            grpc: Some("127.0.0.1:8081".to_owned()),
            quic: Some("127.0.0.1:10912".to_owned()),
            tls: "disabled: connections are plain".to_owned(),
        };
        let expected = concat!(
            "kourou ",
            env!("CARGO_PKG_VERSION"),
            " is up after 12 ms\n",
            "  name server  127.0.0.1:9876\n",
            "  broker       127.0.0.1:10911  kourou in DefaultCluster\n",
            "  grpc         127.0.0.1:8081\n",
            "  quic         127.0.0.1:10912\n",
            "  tls          disabled: connections are plain\n",
            "  data         ./kourou-data  new\n",
            "  durability   durable: a send is answered once it is on the disk  pwrite, O_DIRECT + DSYNC\n",
        );
        assert_eq!(welcome.render(Paint::PLAIN), expected);
        assert!(welcome.render(Paint::ALWAYS).contains("\x1b["));
    }

    #[test]
    fn after_a_crash_behind_a_port_mapping() {
        let mut lines = broker();
        lines.advertised = Some("broker.example:20911".to_owned());
        lines.registers_with = vec!["a:9876".to_owned(), "b:9876".to_owned()];
        lines.recovery = Recovery::Crash {
            took: Duration::from_millis(7),
            replayed_size_bytes: 2048,
        };
        lines.durable = false;
        let text = Welcome {
            took: Duration::ZERO,
            name_server: None,
            broker: Some(lines),
            grpc: None,
            quic: None,
            tls: String::new(),
        }
        .render(Paint::PLAIN);
        for part in [
            "127.0.0.1:10911, clients are told broker.example:20911",
            "registers at a:9876, b:9876",
            "2 topics, 1 group, 5.0 MiB; not closed last time, recovered 2.0 KiB in 7 ms",
            "relaxed: ",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("name server"));
    }
}
