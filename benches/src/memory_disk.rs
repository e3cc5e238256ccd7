//! A disk that is memory and nothing more: what is measured over it is the code above the disk.
//!
//! Unlike the engine's simulated disk it keeps no durable image, no trace and no faults, so that a group write costs one copy and
//! no allocation. Zeros ahead of the log cost nothing: on a real disk another thread writes them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use kourou_engine::disk::{AlignedBuf, Disk, DiskFile, Durability, GroupWriter, Listed, OpenMode};

/// Files in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<HashMap<PathBuf, Arc<MemoryFile>>>>,
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Content>);

#[derive(Debug, Default)]
struct Content {
    /// The bytes, and zeros behind them.
    bytes: Vec<u8>,
    size_bytes: usize,
    /// A segment of the log: it grows by zeros alone, and records are written into them.
    is_segment: bool,
}

/// Zeros that a segment is given at once.
const SEGMENT_STEP_SIZE_BYTES: usize = 32 << 20;

impl Content {
    fn written(&self) -> &[u8] {
        &self.bytes[..self.size_bytes]
    }

    fn write(&mut self, from: &[u8], position: usize) {
        let end = position + from.len();
        let grows = end > self.size_bytes;
        if end > self.bytes.len() {
            let step = if self.is_segment {
                SEGMENT_STEP_SIZE_BYTES
            } else {
                0
            };
            self.bytes.resize(end + step, 0);
        }
        self.size_bytes = self.size_bytes.max(end);
        if grows && self.is_segment {
            debug_assert!(from.iter().all(|byte| *byte == 0), "a segment grows by zeros");
        } else {
            self.bytes[position..end].copy_from_slice(from);
        }
    }
}

impl MemoryDisk {
    fn with<T>(&self, run: impl FnOnce(&mut HashMap<PathBuf, Arc<MemoryFile>>) -> T) -> T {
        run(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MemoryFile {
    fn read<T>(&self, run: impl FnOnce(&[u8]) -> T) -> T {
        run(self.0.read().unwrap_or_else(PoisonError::into_inner).written())
    }
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let listed = |(path, file): (&PathBuf, &Arc<MemoryFile>)| {
            Some(Listed {
                name: path.file_name()?.to_str()?.to_owned(),
                size_bytes: file.size_bytes().ok()?,
            })
        };
        Ok(self.with(|files| {
            let inside = files.iter().filter(|(path, _)| path.parent() == Some(dir));
            inside.filter_map(listed).collect()
        }))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.with(|files| match (files.get(path), mode) {
            (Some(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => Ok(Arc::clone(file) as Arc<dyn DiskFile>),
            (None, OpenMode::CreateNew) => {
                let content = Content {
                    is_segment: path.parent().is_some_and(|dir| dir.ends_with("log")),
                    ..Content::default()
                };
                let file = Arc::new(MemoryFile(RwLock::new(content)));
                files.insert(path.to_owned(), Arc::clone(&file));
                Ok(file as Arc<dyn DiskFile>)
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|files| {
            let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            files.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.with(|files| {
            files
                .remove(path)
                .map(drop)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn group_writer(&self, _durability: Durability) -> io::Result<Box<dyn GroupWriter>> {
        Ok(Box::new(MemoryWriter::default()))
    }
}

impl DiskFile for MemoryFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.read(|content| content.len() as u64))
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<()> {
        self.read(|content| {
            let from = content
                .get(position as usize..)
                .and_then(|rest| rest.get(..into.len()));
            into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, from: &[u8], position: u64) -> io::Result<()> {
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        content.write(from, position as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, size_bytes: u64) -> io::Result<Bytes> {
        self.read(|content| {
            let part = content.get(..size_bytes as usize);
            Ok(Bytes::copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?))
        })
    }

    fn populate(&self, _slice: &Bytes) -> io::Result<()> {
        Ok(())
    }
}

/// Writes when it is asked to; nothing is ever in flight.
#[derive(Debug, Default)]
struct MemoryWriter {
    written: Option<(AlignedBuf, io::Result<()>)>,
}

impl GroupWriter for MemoryWriter {
    fn start(&mut self, file: &Arc<dyn DiskFile>, position: u64, group: AlignedBuf) {
        let outcome = file.write_at(group.as_slice(), position);
        self.written = Some((group, outcome));
    }

    fn finish(&mut self) -> (AlignedBuf, io::Result<()>) {
        let nothing = || {
            (
                AlignedBuf::with_capacity(0),
                Err(io::ErrorKind::InvalidInput.into()),
            )
        };
        self.written.take().unwrap_or_else(nothing)
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
