//! `kourou link`: local ports whose traffic goes to a kourou elsewhere by QUIC.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use kourou_quic::{Limits, LinkError, LinkOptions};
use kourou_tls::Trust;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Link;
use crate::output::Paint;
use crate::stop::Stop;

pub(super) async fn run(link: Link) -> Result<()> {
    let mut stop = Stop::new()?;
    // The ports first: two links on one machine should hear of that, not of the server.
    let names = listen(link.listen, "--listen")?;
    let broker = listen(link.broker_listen, "--broker-listen")?;
    let to = link.to.to_string();
    let options = LinkOptions {
        host: link.to.host,
        port: link.to.port,
        server_name: link.server_name,
        trust: match link.fingerprint {
            Some(known) => known,
            None if link.insecure => Trust::Anyone,
            None => Trust::Authorities(link.ca),
        },
        limits: Limits::default(),
    };
    let opened = tokio::select! {
        opened = kourou_quic::Link::open(options) => opened.map_err(explained)?,
        () = stop.asked() => return Ok(()),
    };
    print(&to, &opened.broker().await?, &names, &broker)?;
    let shutdown = CancellationToken::new();
    let serving = opened.serve(names, broker, shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = stop.asked() => shutdown.cancel(),
    }
    Ok(serving.await?)
}

fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    kourou_remoting::listen(address)
        .with_context(|| format!("cannot listen on {address}; {flag} ADDRESS:PORT listens elsewhere"))
}

fn explained(error: LinkError) -> anyhow::Error {
    let about_trust = error.is_about_trust();
    let error = anyhow::Error::from(error);
    match about_trust {
        true => error.context(
            "the server's certificate is not believed; --fingerprint SHA256 (its start prints it) or --ca FILE says whom to believe",
        ),
        false => error,
    }
}

fn print(to: &str, broker: &str, names: &TcpListener, here: &TcpListener) -> Result<()> {
    let paint = Paint::stdout();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} leads to quic://{to}", paint.bold("kourou link"))?;
    writeln!(out, "  {}{}", paint.dim("name server  "), names.local_addr()?)?;
    let instead = match broker {
        "" => "the server has none; routes are left as they are".to_owned(),
        broker => format!("in routes it stands for {broker}"),
    };
    writeln!(
        out,
        "  {}{}  {}",
        paint.dim("broker       "),
        here.local_addr()?,
        paint.dim(&instead)
    )?;
    Ok(out.flush()?)
}
