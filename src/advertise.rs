//! The address that clients are told: what the settings say, else where the broker listens, else this machine's own.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use anyhow::{Context, Result, bail};

use crate::config::Settings;
use crate::config::address::Advertise;

/// Decides the address that routes name and that messages store.
///
/// # Errors
/// A name that does not resolve; a wildcard to listen on, on a machine whose own address cannot be told.
pub(crate) fn decide(settings: &Settings) -> Result<SocketAddr> {
    let port = settings.broker_port;
    let Some(Advertise {
        host,
        port: outer_port,
    }) = &settings.advertise
    else {
        let ip = if settings.bind.is_unspecified() {
            own_address(settings.bind)?
        } else {
            settings.bind
        };
        return Ok(SocketAddr::new(ip, port));
    };
    let found = (host.as_str(), outer_port.unwrap_or(port))
        .to_socket_addrs()
        .with_context(|| format!("--advertise {host}: the name does not resolve"))?;
    // Not every client reads a longer address than IPv4's.
    let address = found.min_by_key(|address| !address.is_ipv4());
    let address = address.with_context(|| format!("--advertise {host}: the name has no address"))?;
    if address.ip().is_unspecified() {
        bail!("--advertise {host}: clients need an address that they can connect to");
    }
    Ok(address)
}

/// The address that packets to elsewhere would carry. Nothing is sent: connecting a UDP socket only looks up the route. The
/// addresses are those set aside for documentation.
fn own_address(wildcard: IpAddr) -> Result<IpAddr> {
    let elsewhere = if wildcard.is_ipv4() {
        "192.0.2.1:9"
    } else {
        "[2001:db8::1]:9"
    };
    let looked_up = UdpSocket::bind((wildcard, 0)).and_then(|socket| {
        socket.connect(elsewhere)?;
        socket.local_addr()
    });
    match looked_up.map(|address| address.ip()) {
        Ok(ip) if !ip.is_unspecified() && !ip.is_loopback() => Ok(ip),
        _ => bail!(
            "with --bind {wildcard} clients must be told an address, and this machine has no route to tell one from; \
             say --advertise ADDR"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(bind: &str, advertise: Option<&str>) -> Result<SocketAddr> {
        let advertise = advertise.map(|text| Advertise::parse(text).unwrap());
        decide(&Settings {
            bind: bind.parse().unwrap(),
            advertise,
            ..Settings::default()
        })
    }

    #[test]
    fn a_specific_address_to_listen_on_is_advertised() {
        assert_eq!(decided("127.0.0.1", None).unwrap().to_string(), "127.0.0.1:10911");
        assert_eq!(decided("::1", None).unwrap().to_string(), "[::1]:10911");
    }

    #[test]
    fn what_the_settings_say_wins() {
        assert_eq!(
            decided("0.0.0.0", Some("10.1.2.3:20911")).unwrap().to_string(),
            "10.1.2.3:20911"
        );
        assert_eq!(
            decided("0.0.0.0", Some("10.1.2.3")).unwrap().to_string(),
            "10.1.2.3:10911"
        );
        assert!(decided("0.0.0.0", Some("localhost")).unwrap().ip().is_loopback());
    }

    #[test]
    fn nobody_can_connect_to_a_wildcard() {
        let error = decided("127.0.0.1", Some("0.0.0.0")).unwrap_err().to_string();
        assert_eq!(
            error,
            "--advertise 0.0.0.0: clients need an address that they can connect to"
        );
    }
}
