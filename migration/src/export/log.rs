//! The commit log that is written.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use kourou_engine::record::{EncodedRecord, RECORD_HEAD_SIZE_BYTES, blank};

use crate::error::MigrationError;

const BUFFER_SIZE_BYTES: usize = 4 << 20;
/// A file keeps room for the head of the record that fills its end.
const BLANK_SIZE_BYTES: u64 = RECORD_HEAD_SIZE_BYTES as u64;

#[derive(Debug)]
pub(super) struct LogWriter {
    dir: PathBuf,
    file_size_bytes: u64,
    /// Where the file begins that is being written.
    start: u64,
    position: u64,
    path: PathBuf,
    file: BufWriter<File>,
    record: Vec<u8>,
}

impl LogWriter {
    pub(super) fn new(dir: &Path, file_size_bytes: u64, start: u64) -> Result<Self, MigrationError> {
        fs::create_dir_all(dir).map_err(MigrationError::io("create", dir))?;
        let (path, file) = create(dir, file_size_bytes, start)?;
        Ok(Self {
            dir: dir.to_owned(),
            file_size_bytes,
            start,
            position: start,
            path,
            file,
            record: Vec::new(),
        })
    }

    /// Appends a record. Returns its position.
    pub(super) fn append(
        &mut self,
        record: &EncodedRecord,
        queue_offset: u64,
        store_ms: i64,
    ) -> Result<u64, MigrationError> {
        let size_bytes = u64::from(record.size_bytes());
        let end = self.start + self.file_size_bytes;
        if size_bytes + BLANK_SIZE_BYTES > self.file_size_bytes {
            return Err(MigrationError::FileTooShort {
                file_size_bytes: self.file_size_bytes,
                record_size_bytes: size_bytes,
            });
        }
        if self.position + size_bytes + BLANK_SIZE_BYTES > end {
            // No file is longer than 2 GiB.
            self.write(&blank((end - self.position) as u32))?;
            self.close()?;
            self.start = end;
            self.position = end;
            (self.path, self.file) = create(&self.dir, self.file_size_bytes, end)?;
        }
        let position = self.position;
        let mut bytes = std::mem::take(&mut self.record);
        bytes.resize(size_bytes as usize, 0);
        record.write_into(&mut bytes, queue_offset, position, store_ms);
        let written = self.write(&bytes);
        self.record = bytes;
        written?;
        self.position += size_bytes;
        Ok(position)
    }

    /// Makes it all durable. Returns where it ends.
    pub(super) fn finish(mut self) -> Result<u64, MigrationError> {
        self.close()?;
        Ok(self.position)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MigrationError> {
        self.file
            .write_all(bytes)
            .map_err(MigrationError::io("write", &self.path))
    }

    fn close(&mut self) -> Result<(), MigrationError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(MigrationError::io("write", &self.path))
    }
}

fn create(
    dir: &Path,
    file_size_bytes: u64,
    start: u64,
) -> Result<(PathBuf, BufWriter<File>), MigrationError> {
    let path = dir.join(format!("{start:020}"));
    let file = File::create_new(&path)
        .and_then(|file| {
            // What is not written is a hole, which reads as zeros.
            file.set_len(file_size_bytes)?;
            Ok(file)
        })
        .map_err(MigrationError::io("create", &path))?;
    Ok((path, BufWriter::with_capacity(BUFFER_SIZE_BYTES, file)))
}
