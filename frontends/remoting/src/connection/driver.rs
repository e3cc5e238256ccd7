//! The task of one connection: read, dispatch, write.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use kourou_proto::{Command, FrameDecoder, FrameError, FrameLimits, HeaderError};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::write_queue::WriteQueue;
use super::{Connection, Outgoing};
use crate::broker_port::Sent;
use crate::limits::{FRAMES_PER_TURN_MAX, READ_SIZE_BYTES_MAX, READ_SIZE_BYTES_MIN, READS_ASIDE, REST_AFTER};

/// What a connection's commands are handed to. Called on the connection's task: must not block.
pub(crate) trait Handler: Send + Unpin {
    /// One command, in the order of arrival. Its memory is used again for the next: what is to be kept is copied.
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command);

    /// A send is answered; its memory may serve another.
    fn on_answered(&mut self, _sent: Box<Sent>) {}

    /// The connection waits for its peer: memory that is kept for more requests should go.
    fn on_rest(&mut self) {}

    /// The connection is over, for whatever reason. Called once.
    fn on_close(&mut self, connection: &Arc<Connection>);
}

/// Why a connection ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Closed {
    #[error("closed by the peer")]
    ByPeer,
    #[error("closed by the peer inside a frame")]
    InsideFrame,
    #[error("idle for too long")]
    Idle,
    #[error("closed by us")]
    ByUs,
    #[error("the peer speaks TLS, which this port does not")]
    Tls,
    #[error("unreadable frame: {0}")]
    Frame(#[from] FrameError),
    #[error("unreadable header: {0}")]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// First byte of a TLS handshake. As the first byte of a length it would mean a frame of 369 MB, which no limit of
/// ours allows.
const TLS_HANDSHAKE: u8 = 0x16;

/// Drives one connection until it ends. As a future it gives the reason.
///
/// Reading stops while too much is in flight or unwritten: then the socket's buffers fill, and the peer is held back
/// by TCP instead of by our memory.
pub(crate) struct Driver<S, H: Handler> {
    stream: S,
    connection: Arc<Connection>,
    handler: H,
    decoder: FrameDecoder,
    input: BytesMut,
    /// Whether `input` may hold a whole frame that has not been looked at.
    undecoded: bool,
    seen_first_byte: bool,
    read_size_bytes: usize,
    /// How many reads there may be before the connection gets a buffer of its own.
    reads_aside: u8,
    /// The command that was read last; a silent connection has none.
    command: Option<Box<Command>>,
    output: WriteQueue,
    batch: Vec<Outgoing>,
    /// Until there may be something to do about silence.
    silence: Pin<Box<Sleep>>,
    /// Until a question is given up. Present while there is one.
    impatience: Option<Pin<Box<Sleep>>>,
    last_activity: Instant,
    /// The buffers have been given back since.
    rested: bool,
}

impl<S, H> Driver<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    pub(crate) fn new(stream: S, connection: Arc<Connection>, handler: H) -> Self {
        let limits = FrameLimits {
            max_frame_bytes: connection.limits.frame_size_bytes_max,
            ..FrameLimits::default()
        };
        let now = Instant::now();
        let silence = Box::pin(tokio::time::sleep_until(now + REST_AFTER));
        Self {
            stream,
            connection,
            handler,
            decoder: FrameDecoder::new(limits),
            input: BytesMut::new(),
            undecoded: false,
            seen_first_byte: false,
            read_size_bytes: READ_SIZE_BYTES_MIN,
            reads_aside: READS_ASIDE,
            command: None,
            output: WriteQueue::default(),
            batch: Vec::new(),
            silence,
            impatience: None,
            last_activity: now,
            rested: false,
        }
    }

    /// The shared side.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        let mut frames_left = FRAMES_PER_TURN_MAX;
        let mut active = false;
        loop {
            let orders = self.connection.take(&mut self.batch);
            if orders.kill {
                return Err(Closed::ByUs);
            }
            for outgoing in self.batch.drain(..) {
                if let Some(sent) = self.output.push(outgoing) {
                    self.handler.on_answered(sent);
                }
            }
            let wrote = self.write(cx)?;
            if orders.done && !self.output.has_remaining() {
                return Err(Closed::ByUs);
            }
            let mut read = false;
            if !orders.draining {
                read = self.dispatch(&mut frames_left)?;
                if !self.undecoded && self.may_read() {
                    read |= self.read(cx)?;
                }
            }
            active |= wrote | read;
            if frames_left == 0 {
                cx.waker().wake_by_ref();
                break;
            }
            let starved = !orders.draining && !self.connection.may_dispatch();
            if !(wrote || read) && self.connection.park(cx.waker(), starved, orders) {
                break;
            }
        }
        if active {
            self.last_activity = Instant::now();
            if std::mem::take(&mut self.rested) {
                self.silence.as_mut().reset(self.last_activity + REST_AFTER);
            }
        }
        self.watch_questions(cx);
        self.watch_silence(cx)
    }

    /// Gives up questions that the peer takes too long to answer. Whoever asks wakes this task, so that none is missed.
    fn watch_questions(&mut self, cx: &mut Context<'_>) {
        while let Some(deadline) = self.connection.asked.next_deadline() {
            let sleep = self
                .impatience
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.connection.asked.expire(deadline);
        }
        self.impatience = None;
    }

    fn may_read(&self) -> bool {
        self.connection.may_dispatch() && !self.connection.is_congested()
    }

    /// Writes what there is. True if anything was written.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        self.output.seal();
        let mut wrote = false;
        while self.output.has_remaining() {
            match poll_write_buf(Pin::new(&mut self.stream), cx, &mut self.output) {
                Poll::Ready(Ok(0)) => return Err(Closed::ByPeer),
                Poll::Ready(Ok(_)) => wrote = true,
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => break,
            }
        }
        if wrote && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
            return Err(error.into());
        }
        self.connection.written(self.output.remaining());
        Ok(wrote)
    }

    /// Hands on whole frames while the bounds allow. True if there was any.
    fn dispatch(&mut self, frames_left: &mut usize) -> Result<bool, Closed> {
        let mut any = false;
        while self.undecoded && *frames_left > 0 && self.may_read() {
            match self.decoder.decode(&mut self.input)? {
                Some(frame) => {
                    let command = self.command.get_or_insert_default();
                    command.decode_into(frame)?;
                    self.handler.on_command(&self.connection, command);
                    // What has been read may be given back.
                    command.body = Bytes::new();
                    any = true;
                    *frames_left -= 1;
                }
                None => self.undecoded = false,
            }
        }
        Ok(any)
    }

    /// Reads once. True if anything came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let (polled, room) = if self.reads_aside > 0 {
            (self.poll_read_aside(cx), READ_SIZE_BYTES_MIN)
        } else {
            if self.input.capacity() - self.input.len() < self.read_size_bytes / 2 {
                self.input.reserve(self.read_size_bytes);
            }
            let room = self.input.capacity() - self.input.len();
            (
                poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input),
                room,
            )
        };
        match polled {
            Poll::Ready(Ok(0)) if self.input.is_empty() => Err(Closed::ByPeer),
            Poll::Ready(Ok(0)) => Err(Closed::InsideFrame),
            Poll::Ready(Ok(count)) => {
                if !self.seen_first_byte {
                    self.seen_first_byte = true;
                    if self.input.first() == Some(&TLS_HANDSHAKE) {
                        return Err(Closed::Tls);
                    }
                }
                if count == room {
                    self.read_size_bytes = (self.read_size_bytes * 2).min(READ_SIZE_BYTES_MAX);
                }
                self.undecoded = true;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => Ok(false),
        }
    }

    /// Reads by way of the stack: a connection that only asks to be told of something later takes no buffer for it.
    fn poll_read_aside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::<u8>::uninit(); READ_SIZE_BYTES_MIN];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.reads_aside -= 1;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Gives every buffer back, if nothing is under way. Whether it did.
    fn rest(&mut self) -> bool {
        let quiet = self.input.is_empty() && self.connection.in_flight.load(Ordering::Relaxed) == 0;
        if quiet {
            self.input = BytesMut::new();
            self.read_size_bytes = READ_SIZE_BYTES_MIN;
            self.reads_aside = READS_ASIDE;
            self.command = None;
            self.output.shrink();
            self.batch = Vec::new();
            self.handler.on_rest();
        }
        quiet
    }

    /// A connection that has been silent for a moment keeps no buffers, for thousands are so most of the time; one that has
    /// been silent for long is closed.
    fn watch_silence(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        while self.silence.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let deadline = self.last_activity + self.connection.limits.idle;
            if deadline <= now {
                return Err(Closed::Idle);
            }
            let rest_at = self.last_activity + REST_AFTER;
            if rest_at <= now {
                self.rested = self.rest();
            }
            let next = match (self.rested, rest_at <= now) {
                (true, _) => deadline,
                (false, true) => now + REST_AFTER,
                (false, false) => rest_at,
            };
            self.silence.as_mut().reset(next.min(deadline));
        }
        Ok(())
    }
}

impl<S, H> Future for Driver<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    type Output = Closed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        match self.get_mut().turn(cx) {
            Ok(()) => Poll::Pending,
            Err(closed) => Poll::Ready(closed),
        }
    }
}

impl<S, H: Handler> Drop for Driver<S, H> {
    /// However the task ends, by return, by abortion or by panic, the connection is known to be over.
    fn drop(&mut self) {
        self.connection.close();
        self.handler.on_close(&self.connection);
    }
}
