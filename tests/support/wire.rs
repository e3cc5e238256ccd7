//! One remoting question, for finding out whether a name server and its broker are ready.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const ROUTE_INFO_BY_TOPIC: u16 = 105;
const ANSWER_SIZE_MAX: usize = 1 << 20;

/// Whether the name server routes to a broker that has the auto-create template, which is so once one has registered.
pub(crate) fn routes_to_a_broker(namesrv: &str) -> bool {
    ask(namesrv, ROUTE_INFO_BY_TOPIC, r#""topic":"TBW102""#).is_ok_and(|code| code == 0)
}

/// Asks and returns the code of the answer.
pub(crate) fn ask(addr: &str, code: u16, fields: &str) -> Result<i64> {
    let socket: SocketAddr = addr.parse().with_context(|| format!("address {addr}"))?;
    let mut stream = TcpStream::connect_timeout(&socket, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let header = format!(
        r#"{{"code":{code},"language":"OTHER","version":0,"opaque":1,"flag":0,"extFields":{{{fields}}}}}"#
    );
    let header_len = u32::try_from(header.len())?;
    let mut frame = Vec::with_capacity(header.len() + 8);
    frame.extend_from_slice(&(header_len + 4).to_be_bytes());
    frame.extend_from_slice(&header_len.to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    stream.write_all(&frame)?;

    let answer = read_frame(&mut stream)?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    answer["code"].as_i64().context("an answer without a code")
}

/// The header of the next frame.
fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut lengths = [0; 8];
    stream.read_exact(&mut lengths)?;
    let [a, b, c, d, _, f, g, h] = lengths;
    let total = usize::try_from(u32::from_be_bytes([a, b, c, d]))?;
    let header = usize::try_from(u32::from_be_bytes([0, f, g, h]))?;
    ensure!(
        total <= ANSWER_SIZE_MAX && header + 4 <= total,
        "an answer of {total} bytes, header {header}"
    );
    let mut rest = vec![0; total - 4];
    stream.read_exact(&mut rest)?;
    rest.truncate(header);
    Ok(rest)
}
