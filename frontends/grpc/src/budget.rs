//! What the requests of one connection take: how many there are, and how many bytes of them.
//!
//! A request's body is counted as it is read, and given back when the request is over: its [`Taken`] travels with it, in its
//! extensions.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tonic::Status;

/// What one connection may take.
#[derive(Debug)]
pub(crate) struct Budget {
    max_bytes: usize,
    used_bytes: AtomicUsize,
    requests: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            used_bytes: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        })
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// For one request.
    pub(crate) fn begin(self: &Arc<Self>) -> Taken {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Taken(Arc::new(Share {
            budget: Arc::clone(self),
            used_bytes: AtomicUsize::new(0),
        }))
    }
}

/// What one request takes. It is given back when the last copy of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Taken(Arc<Share>);

#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    used_bytes: AtomicUsize,
}

impl Taken {
    /// Whether so much more may be taken.
    fn take(&self, bytes: usize) -> bool {
        let Share { budget, used_bytes } = &*self.0;
        used_bytes.fetch_add(bytes, Ordering::Relaxed);
        budget.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= budget.max_bytes
    }

    /// What was read so far is done with: of a stream of messages, each is when the next is asked for.
    pub(crate) fn give_back(&self) {
        let bytes = self.0.used_bytes.swap(0, Ordering::Relaxed);
        self.0.budget.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let bytes = self.used_bytes.load(Ordering::Relaxed);
        self.budget.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's body that counts what is read of it.
#[derive(Debug)]
pub(crate) struct CountedBody {
    from: Origin,
    taken: Taken,
}

/// Where a body comes from.
#[derive(Debug)]
enum Origin {
    Wire(Incoming),
    /// All of it, until it is read.
    Memory(Option<Bytes>),
}

impl CountedBody {
    pub(crate) fn new(inner: Incoming, taken: Taken) -> Self {
        Self {
            from: Origin::Wire(inner),
            taken,
        }
    }

    /// A body that is there already.
    pub(crate) fn whole(body: Bytes, taken: Taken) -> Self {
        Self {
            from: Origin::Memory(Some(body)),
            taken,
        }
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let read = match &mut self.from {
            Origin::Memory(body) => body.take().map(|body| Ok(Frame::data(body))),
            Origin::Wire(inner) => ready!(Pin::new(inner).poll_frame(context)),
        };
        let frame = match read {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
            None => return Poll::Ready(None),
        };
        let size_bytes = frame.data_ref().map_or(0, Bytes::len);
        if !self.taken.take(size_bytes) {
            return Poll::Ready(Some(Err(Status::resource_exhausted(
                "the requests of this connection take too much memory; wait for answers or open another connection",
            ))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            Origin::Wire(inner) => inner.is_end_stream(),
            Origin::Memory(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            Origin::Wire(inner) => inner.size_hint(),
            Origin::Memory(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let one = budget.begin();
        assert!(one.take(6));
        let two = budget.begin();
        assert!(two.take(4) && !two.take(1));
        drop(two);
        assert!(!budget.is_idle());
        assert!(one.take(4));
        one.give_back();
        assert!(one.clone().take(10));
        drop(one);
        assert!(budget.is_idle());
        assert_eq!(budget.used_bytes.load(Ordering::Relaxed), 0);
    }
}
