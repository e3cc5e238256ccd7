//! One connection of a run: bytes in, answers out; requests in, one write out.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::answer::{Answer, AnswerReader, Front, front};
use crate::error::BenchError;

const INPUT_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read that may wait does so at a time: then the run looks whether it is over.
pub(crate) const READ_PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Connection {
    index: usize,
    socket: Arc<TcpStream>,
    input: Vec<u8>,
    /// What of `input` has arrived and is not yet read: from here ...
    input_start: usize,
    /// ... to here.
    input_end: usize,
    /// Requests not yet handed to the socket.
    pub(crate) output: Vec<u8>,
    /// How much of `output` has been handed over.
    written: usize,
}

/// Whether something arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Something,
    Nothing,
}

impl Connection {
    /// Connects; `index` tells this one from the others of the run.
    pub(crate) fn connect(address: &str, index: usize) -> Result<Self, BenchError> {
        let socket = connect(address)?;
        socket
            .set_read_timeout(Some(READ_PATIENCE))
            .map_err(|source| BenchError::Connection {
                connection: index,
                source,
            })?;
        Ok(Self {
            index,
            socket: Arc::new(socket),
            input: vec![0; INPUT_BYTES],
            input_start: 0,
            input_end: 0,
            output: Vec::with_capacity(INPUT_BYTES),
            written: 0,
        })
    }

    pub(crate) fn socket(&self) -> Arc<TcpStream> {
        Arc::clone(&self.socket)
    }

    /// Whether requests wait for the socket to take more.
    pub(crate) fn is_congested(&self) -> bool {
        !self.output.is_empty()
    }

    /// Hands the requests to the socket, as many as it takes, in one write if it takes all.
    pub(crate) fn flush(&mut self) -> Result<(), BenchError> {
        while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&*self.socket, rest, flags) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed(error.into())),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once what has arrived; waits up to [`READ_PATIENCE`] if `wait` is set.
    pub(crate) fn receive(&mut self, wait: bool) -> Result<Received, BenchError> {
        if self.input_start == self.input_end {
            (self.input_start, self.input_end) = (0, 0);
        }
        let flags = if wait {
            RecvFlags::empty()
        } else {
            RecvFlags::DONTWAIT
        };
        match rustix::net::recv(&*self.socket, &mut self.input[self.input_end..], flags) {
            Ok((0, _)) => Err(BenchError::Closed {
                connection: self.index,
            }),
            Ok((count, _)) => {
                self.input_end += count;
                Ok(Received::Something)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Hands out each answer that has arrived as a whole.
    pub(crate) fn answers(
        &mut self,
        reader: &AnswerReader,
        mut each: impl FnMut(&Answer<'_>) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let connection = self.index;
        loop {
            let arrived = &self.input[self.input_start..self.input_end];
            match front(arrived).map_err(|source| BenchError::Frame { connection, source })? {
                Front::Frame(frame, whole) => {
                    let answer = reader.read(&frame);
                    if let Some(answer) =
                        answer.map_err(|source| BenchError::Header { connection, source })?
                    {
                        each(&answer)?;
                    }
                    self.input_start += whole;
                }
                Front::Part(whole) => {
                    self.make_room(whole);
                    return Ok(());
                }
            }
        }
    }

    /// Makes sure that a frame of this many bytes, a part of which has arrived, fits behind what has been read.
    fn make_room(&mut self, whole: usize) {
        if self.input_start + whole <= self.input.len() && self.input_end < self.input.len() {
            return;
        }
        self.input.copy_within(self.input_start..self.input_end, 0);
        self.input_end -= self.input_start;
        self.input_start = 0;
        if whole > self.input.len() {
            self.input.resize(whole.next_power_of_two(), 0);
        }
    }

    fn failed(&self, source: io::Error) -> BenchError {
        BenchError::Connection {
            connection: self.index,
            source,
        }
    }
}

/// A connection that sends what it is given at once.
pub(crate) fn connect(address: &str) -> Result<TcpStream, BenchError> {
    let failed = |source| BenchError::Connect {
        address: address.to_owned(),
        source,
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for target in address.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&target, CONNECT_TIMEOUT) {
            Ok(socket) => {
                socket.set_nodelay(true).map_err(failed)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}
