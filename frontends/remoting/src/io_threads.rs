//! Threads for connections: each drives its own, with its own poll of the system, and shares no lock with the others.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Threads of one thread's runtime that may wait for the disk.
const BLOCKING_THREADS_MAX: usize = 16;

/// A fixed number of threads. A connection stays on the one that it was given to, in turn. Dropping this ends them and waits
/// for that: whatever still runs on them is dropped.
#[derive(Debug)]
pub struct IoThreads {
    runtimes: Vec<Handle>,
    next: AtomicUsize,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl IoThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system gives no more threads or descriptors.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let mut started = Self {
            runtimes: Vec::with_capacity(count.get()),
            next: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            threads: Vec::with_capacity(count.get()),
        };
        for _ in 0..count.get() {
            let runtime = Builder::new_current_thread()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name("kourou-cold")
                .enable_all()
                .build()?;
            started.runtimes.push(runtime.handle().clone());
            let stop = started.stop.clone();
            let thread = std::thread::Builder::new()
                .name("kourou-io".to_owned())
                .spawn(move || runtime.block_on(stop.cancelled()))?;
            started.threads.push(thread);
        }
        Ok(started)
    }

    /// The runtimes of the threads, for frontends that spread their connections themselves.
    pub fn handles(&self) -> &[Handle] {
        &self.runtimes
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.runtimes.len()
    }

    /// Whose turn it is to get a connection.
    pub(crate) fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.runtimes.len()
    }

    /// Runs `task` on a thread.
    pub(crate) fn spawn_on(&self, at: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.runtimes[at].spawn(task);
    }
}

impl Drop for IoThreads {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_go_to_the_threads_in_turn_and_end_with_them() {
        let threads = IoThreads::start(NonZeroUsize::MIN.saturating_add(1)).unwrap();
        let (names, ran) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let names = names.clone();
            threads.spawn_on(threads.next(), async move {
                let _ = names.send(std::thread::current().id());
                std::future::pending::<()>().await;
            });
        }
        drop(names);
        let mut ids: Vec<_> = (0..4).map(|_| ran.recv().unwrap()).collect();
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        assert_eq!(ids.len(), 2);
        drop(threads);
        assert!(ran.recv().is_err(), "the tasks are gone");
    }
}
