//! Handles on a simulated disk: open files, and the writer of groups.

use std::any::Any;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::gate::Gate;
use super::names::FileId;
use super::state::{State, in_memory};
use crate::disk::{AlignedBuf, DiskFile, Durability, GroupWriter, OpenMode, nothing_in_flight};

#[derive(Debug)]
pub(super) struct SimFile {
    state: Arc<Mutex<State>>,
    id: FileId,
    writable: bool,
    /// What `map` has handed out, kept so that `populate` can tell where in the file a slice lies.
    maps: Mutex<Vec<Bytes>>,
}

impl SimFile {
    pub(super) fn new(state: Arc<Mutex<State>>, id: FileId, mode: OpenMode) -> Self {
        Self {
            state,
            id,
            writable: mode != OpenMode::Read,
            maps: Mutex::default(),
        }
    }

    fn writable(&self) -> io::Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(Errno::BADF.into())
        }
    }

    fn start_group(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.writable()?;
        self.state.lock().start_group(self.id, bytes, position)
    }

    fn finish_group(&self, bytes: &[u8], position: u64, durability: Durability) -> io::Result<()> {
        self.state
            .lock()
            .finish_group(self.id, bytes, position, durability)
    }
}

fn sim(file: &Arc<dyn DiskFile>) -> Option<&SimFile> {
    let file: &dyn Any = file.as_ref();
    file.downcast_ref()
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.state.lock().close(self.id);
    }
}

impl DiskFile for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.script.check()?;
        Ok(state.file(self.id)?.image.live().len() as u64)
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.script.check()?;
        let file = state.file(self.id)?;
        let end = position.saturating_add(into.len() as u64);
        if file.bad.iter().any(|bad| bad.start < end && position < bad.end) {
            return Err(Errno::IO.into());
        }
        let from = in_memory(position)?;
        let found = file.image.live().get(from..from.saturating_add(into.len()));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, from: &[u8], position: u64) -> io::Result<()> {
        self.writable()?;
        self.state.lock().write(self.id, from, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.state.lock().sync(self.id)
    }

    fn map(&self, size_bytes: u64) -> io::Result<Bytes> {
        let mut state = self.state.lock();
        state.script.check()?;
        let size = in_memory(size_bytes)?;
        let found = state.file(self.id)?.image.live().get(..size);
        let map = Bytes::copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        self.maps.lock().push(map.clone());
        Ok(map)
    }

    fn populate(&self, slice: &Bytes) -> io::Result<()> {
        let mut state = self.state.lock();
        state.script.check()?;
        let (start, end) = (slice.as_ptr().addr(), slice.as_ptr().addr() + slice.len());
        let maps = self.maps.lock();
        let Some(map) = maps.iter().find(|map| {
            let base = map.as_ptr().addr();
            base <= start && end <= base + map.len()
        }) else {
            return if slice.is_empty() {
                Ok(())
            } else {
                Err(Errno::INVAL.into())
            };
        };
        let position = (start - map.as_ptr().addr()) as u64;
        let end = position + slice.len() as u64;
        if state
            .file(self.id)?
            .bad
            .iter()
            .any(|bad| bad.start < end && position < bad.end)
        {
            return Err(Errno::IO.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Flight {
    file: Arc<dyn DiskFile>,
    position: u64,
    group: AlignedBuf,
    started: io::Result<()>,
}

/// The group happens in `finish`; between `start` and that it is in flight.
#[derive(Debug)]
pub(super) struct SimWriter {
    durability: Durability,
    gate: Gate,
    flight: Option<Flight>,
}

impl SimWriter {
    pub(super) fn new(durability: Durability, gate: Gate) -> Self {
        Self {
            durability,
            gate,
            flight: None,
        }
    }
}

impl GroupWriter for SimWriter {
    fn start(&mut self, file: &Arc<dyn DiskFile>, position: u64, group: AlignedBuf) {
        let started = match sim(file) {
            Some(sim) => sim.start_group(group.as_slice(), position),
            None => Err(Errno::INVAL.into()),
        };
        self.flight = Some(Flight {
            file: Arc::clone(file),
            position,
            group,
            started,
        });
    }

    fn finish(&mut self) -> (AlignedBuf, io::Result<()>) {
        let Some(Flight {
            file,
            position,
            group,
            started,
        }) = self.flight.take()
        else {
            return nothing_in_flight();
        };
        self.gate.pass();
        let result = started.and_then(|()| match sim(&file) {
            Some(sim) => sim.finish_group(group.as_slice(), position, self.durability),
            None => Err(Errno::INVAL.into()),
        });
        (group, result)
    }

    fn describe(&self) -> String {
        format!("simulated, {:?}", self.durability)
    }
}
