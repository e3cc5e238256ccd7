//! Bytes on their way to the socket: heads in one buffer, long bodies where they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use kourou_proto::Command;

use super::Outgoing;
use crate::broker_port::{Sent, write_answer};
use crate::limits::COPIED_SLICE_SIZE_BYTES_MAX;

/// Encoded commands, to be written with as few calls as the socket allows. As a [`Buf`] it is what is left to write,
/// and shows many slices at once.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    /// The end of the queue: what has been encoded since the last [`WriteQueue::seal`].
    heads: BytesMut,
    segments: VecDeque<Bytes>,
    size_bytes: usize,
    /// Memory for answers that are made here.
    answer: Option<Box<Command>>,
}

impl WriteQueue {
    /// Encodes a command behind the others. One that the wire cannot carry is dropped with a log line; that takes a
    /// header of more than a megabyte, which nothing of ours makes.
    /// Returns the memory of a send that is answered.
    pub(super) fn push(&mut self, outgoing: Outgoing) -> Option<Box<Sent>> {
        match outgoing {
            Outgoing::Command(mut command) => {
                let body = std::mem::take(&mut command.body);
                if self.push_head(&command, body.len()) {
                    self.push_slice(body);
                }
                None
            }
            Outgoing::Records {
                head,
                slices,
                size_bytes,
            } => {
                if self.push_head(&head, size_bytes) {
                    slices.into_iter().for_each(|slice| self.push_slice(slice));
                }
                None
            }
            Outgoing::Sent(mut sent) => {
                let mut answer = self.answer.take().unwrap_or_default();
                write_answer(&mut sent, &mut answer);
                self.push_head(&answer, 0);
                self.answer = Some(answer);
                Some(sent)
            }
        }
    }

    fn push_head(&mut self, command: &Command, body_size_bytes: usize) -> bool {
        let before = self.heads.len();
        if let Err(error) = command.encode_head(body_size_bytes, &mut self.heads) {
            tracing::error!(%error, code = command.header.code, "an answer cannot be written");
            return false;
        }
        self.size_bytes += self.heads.len() - before;
        true
    }

    fn push_slice(&mut self, slice: Bytes) {
        self.size_bytes += slice.len();
        if slice.len() <= COPIED_SLICE_SIZE_BYTES_MAX {
            self.heads.extend_from_slice(&slice);
        } else {
            self.seal();
            self.segments.push_back(slice);
        }
    }

    /// Makes everything visible to [`Buf`]. To be called before writing.
    pub(super) fn seal(&mut self) {
        if !self.heads.is_empty() {
            self.segments.push_back(self.heads.split().freeze());
        }
    }

    /// Gives memory back when there is nothing to write.
    pub(super) fn shrink(&mut self) {
        if self.segments.is_empty() && self.heads.is_empty() {
            self.heads = BytesMut::new();
            self.segments.shrink_to(0);
            self.answer = None;
        }
    }
}

impl Buf for WriteQueue {
    fn remaining(&self) -> usize {
        self.size_bytes - self.heads.len()
    }

    fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&[], Bytes::as_ref)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = self.segments.len().min(slices.len());
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(segment);
        }
        count
    }

    fn advance(&mut self, count: usize) {
        self.size_bytes -= count;
        let mut left = count;
        while left > 0 {
            let Some(front) = self.segments.front_mut() else {
                debug_assert!(false, "advanced beyond what was there");
                return;
            };
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use kourou_proto::RequestCode;

    use super::*;

    fn records(sizes: &[usize]) -> (Outgoing, Vec<u8>) {
        let slices: Vec<Bytes> = sizes
            .iter()
            .map(|&size| Bytes::from(vec![size as u8; size]))
            .collect();
        let head = Command::request(RequestCode::PULL_MESSAGE, 7);
        let body = slices.concat();
        let mut wire = BytesMut::new();
        let _ = head.clone().with_body(body).encode(&mut wire);
        (Outgoing::records(head, slices), wire.to_vec())
    }

    #[test]
    fn any_partial_write_gives_the_same_bytes() {
        for step in [1, 3, 7, 100, 10_000] {
            let mut queue = WriteQueue::default();
            let mut want = Vec::new();
            for sizes in [&[10, 600, 5, 2000][..], &[], &[513, 513], &[512]] {
                let (outgoing, wire) = records(sizes);
                queue.push(outgoing);
                want.extend(wire);
            }
            queue.seal();
            assert_eq!(queue.remaining(), want.len());
            let mut got = Vec::new();
            while queue.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 3];
                let count = queue.chunks_vectored(&mut slices);
                let visible: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                assert_eq!(&visible[..queue.chunk().len()], queue.chunk());
                let taken = step.min(visible.len());
                got.extend_from_slice(&visible[..taken]);
                queue.advance(taken);
            }
            assert_eq!(got, want);
        }
    }

    #[test]
    fn small_answers_share_one_slice() {
        let mut queue = WriteQueue::default();
        for opaque in 0..100 {
            queue.push(Outgoing::Command(
                Command::request(RequestCode::HEART_BEAT, opaque).with_body("small"),
            ));
        }
        queue.seal();
        assert_eq!(queue.segments.len(), 1);
    }
}
