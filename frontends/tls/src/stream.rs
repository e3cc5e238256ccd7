//! One connection: plain or encrypted, which it says itself by its first byte.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::tls::Takes;

/// First byte of a TLS handshake: the content type of RFC 8446, 5.1.
const HANDSHAKE: u8 = 0x16;

/// How long a handshake may take. A client across the world needs a second.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection of a port. Reads and writes wait until it is known what the peer speaks, and until a handshake is over.
#[derive(Debug)]
pub struct Stream(State);

#[derive(Debug)]
enum State {
    /// The peer has not said anything.
    Undecided(TcpStream, Takes),
    Handshaking(Box<Handshake>),
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
    /// Not what the port takes, or a handshake that failed.
    Refused,
}

/// What a connection turned out to be.
enum Decided<'a> {
    Plain(Pin<&'a mut TcpStream>),
    Encrypted(Pin<&'a mut TlsStream<TcpStream>>),
}

struct Handshake {
    accept: Accept<TcpStream>,
    deadline: Pin<Box<Sleep>>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn new(tcp: TcpStream, takes: Takes) -> Self {
        Self(match takes {
            Takes::Plain => State::Plain(tcp),
            takes => State::Undecided(tcp, takes),
        })
    }

    /// Ready once the connection is plain or encrypted: then with that connection.
    fn poll_decided(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Decided<'_>>> {
        while !matches!(self.0, State::Plain(_) | State::Encrypted(_)) {
            ready!(self.poll_step(cx))?;
        }
        Poll::Ready(match &mut self.0 {
            State::Plain(tcp) => Ok(Decided::Plain(Pin::new(tcp))),
            State::Encrypted(tls) => Ok(Decided::Encrypted(Pin::new(tls))),
            _ => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    /// One state further.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Plain(_) | State::Encrypted(_) => Poll::Ready(Ok(())),
            State::Refused => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            State::Undecided(tcp, _) => {
                let mut first = [0];
                // Nothing at all: closed, which is for the reader to find.
                let count = ready!(tcp.poll_peek(cx, &mut ReadBuf::new(&mut first)))?;
                Poll::Ready(self.decide((count > 0).then_some(first[0])))
            }
            State::Handshaking(handshake) => {
                let Handshake { accept, deadline } = handshake.as_mut();
                let accepted = match Pin::new(accept).poll(cx) {
                    Poll::Ready(accepted) => accepted,
                    Poll::Pending => {
                        ready!(deadline.as_mut().poll(cx));
                        let text = "the TLS handshake took longer than 10 s";
                        Err(io::Error::new(io::ErrorKind::TimedOut, text))
                    }
                };
                self.0 = State::Refused;
                self.0 = State::Encrypted(Box::new(accepted?));
                Poll::Ready(Ok(()))
            }
        }
    }

    fn decide(&mut self, first: Option<u8>) -> io::Result<()> {
        let State::Undecided(tcp, takes) = std::mem::replace(&mut self.0, State::Refused) else {
            return Ok(());
        };
        self.0 = match (takes, first) {
            (Takes::Both(config) | Takes::Tls(config), Some(HANDSHAKE)) => {
                State::Handshaking(Box::new(Handshake {
                    accept: TlsAcceptor::from(config).accept(tcp),
                    deadline: Box::pin(tokio::time::sleep(HANDSHAKE_TIMEOUT)),
                }))
            }
            (Takes::Tls(_), Some(_)) => {
                let text = "the peer does not speak TLS, and the port takes nothing else (tls-mode)";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            (_, _) => State::Plain(tcp),
        };
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.poll_decided(cx))? {
            Decided::Plain(tcp) => tcp.poll_read(cx, buf),
            Decided::Encrypted(tls) => tls.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.poll_decided(cx))? {
            Decided::Plain(tcp) => tcp.poll_write(cx, buf),
            Decided::Encrypted(tls) => tls.poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_decided(cx))? {
            Decided::Plain(tcp) => tcp.poll_write_vectored(cx, bufs),
            Decided::Encrypted(tls) => tls.poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // So does the encrypted one.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Encrypted(tls) => Pin::new(tls).poll_flush(cx),
            // Nothing has been written, or TCP has it.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Undecided(tcp, _) | State::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            State::Encrypted(tls) => Pin::new(tls).poll_shutdown(cx),
            State::Handshaking(_) | State::Refused => Poll::Ready(Ok(())),
        }
    }
}
