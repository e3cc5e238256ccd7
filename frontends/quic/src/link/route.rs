//! A name server's answers, in which the broker is called by the link's own address.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use kourou_proto::remoting::frame::{Frame, FrameDecoder, FrameLimits, PREFIX_BYTES};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest answer that is taken: a route to every topic of a large cluster has a tenth of it.
const FRAME_SIZE_BYTES_MAX: usize = 16 << 20;

/// One address in the place of another, in JSON: both in their quotation marks, so that a longer address that begins or ends like it is
/// another one.
#[derive(Debug)]
pub(super) struct Rename {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Rename {
    pub(super) fn new(from: &str, to: &str) -> Self {
        let quoted = |text: &str| format!("\"{text}\"").into_bytes();
        Self {
            from: quoted(from),
            to: quoted(to),
        }
    }

    /// The text with each of the addresses replaced; the text itself if it has none.
    fn apply(&self, text: &Bytes) -> Bytes {
        let mut places = memmem::find_iter(text, &self.from).peekable();
        if places.peek().is_none() {
            return text.clone();
        }
        let mut renamed = BytesMut::with_capacity(text.len() + self.to.len());
        let mut done = 0;
        for place in places {
            renamed.extend_from_slice(&text[done..place]);
            renamed.extend_from_slice(&self.to);
            done = place + self.from.len();
        }
        renamed.extend_from_slice(&text[done..]);
        renamed.freeze()
    }
}

/// Carries frames until they end, their bodies renamed. A name server's bodies are JSON, none of them a message's.
pub(super) async fn carry_renamed(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    rename: &Rename,
) -> io::Result<()> {
    let decoder = FrameDecoder::new(FrameLimits {
        max_frame_bytes: FRAME_SIZE_BYTES_MAX,
        ..FrameLimits::default()
    });
    let mut input = BytesMut::new();
    loop {
        while let Some(frame) = decoder
            .decode(&mut input)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        {
            write(to, &frame, &rename.apply(&frame.body)).await?;
        }
        if from.read_buf(&mut input).await? == 0 {
            return match input.is_empty() {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &Frame, body: &Bytes) -> io::Result<()> {
    let too_long = || io::Error::from(io::ErrorKind::InvalidData);
    let header_len = u32::try_from(frame.header.len()).map_err(|_| too_long())?;
    let len = u32::try_from(4 + frame.header.len() + body.len()).map_err(|_| too_long())?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + frame.header.len() + body.len());
    bytes.put_u32(len);
    // A header is shorter than 2^24: its frame was read.
    bytes.put_u32(u32::from(frame.codec.code()) << 24 | header_len);
    bytes.extend_from_slice(&frame.header);
    bytes.extend_from_slice(body);
    to.write_all(&bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: &str, body: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u32((4 + header.len() + body.len()) as u32);
        bytes.put_u32(header.len() as u32);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(body.as_bytes());
        bytes
    }

    async fn carried(input: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let rename = Rename::new("10.0.0.1:10911", "127.0.0.1:7");
        carry_renamed(&mut &*input, &mut out, &rename).await.map(|()| out)
    }

    #[tokio::test]
    async fn the_broker_is_called_by_the_other_address_and_nobody_else() {
        let route = r#"{"brokerAddrs":{0:"10.0.0.1:10911",1:"110.0.0.1:10911"}},{"0":"10.0.0.1:10911"},"10.0.0.1:109110""#;
        let renamed =
            r#"{"brokerAddrs":{0:"127.0.0.1:7",1:"110.0.0.1:10911"}},{"0":"127.0.0.1:7"},"10.0.0.1:109110""#;
        let mut input = frame("{}", route);
        input.extend(frame(r#"{"a":"10.0.0.1:10911"}"#, "nothing"));
        let mut wanted = frame("{}", renamed);
        wanted.extend(frame(r#"{"a":"10.0.0.1:10911"}"#, "nothing"));
        assert_eq!(carried(&input).await.unwrap(), wanted);
    }

    #[tokio::test]
    async fn what_is_no_frame_ends_it() {
        let whole = frame("{}", "body");
        assert!(carried(&whole[..whole.len() - 1]).await.is_err());
        assert!(carried(&[0xff; 8]).await.is_err());
        assert!(carried(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]).await.is_err());
    }
}
