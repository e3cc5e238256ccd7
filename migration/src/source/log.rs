//! The commit log of an Apache broker: its files, and the records in them, each checked.
//!
//! ```text
//! commitlog/00000000000000000000    | record | record | ... | blank |          a file is as long as its broker was told,
//! commitlog/00000000001073741824    | record | ... | zeros                     its name is the position of its first byte
//! ```
//!
//! The layout is the one of `docs/design/format.md`, without the marks. A broker that is killed leaves a torn end, which its next start cuts:
//! bytes that are no record, with none behind them. With whole records behind them they are damage.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kourou_engine::limits::APPEND_SIZE_BYTES_MAX;
use kourou_engine::record::{MAGIC_V1, MAGIC_V2, Peek, RecordView, peek_size};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::error::MigrationError;

/// How much is read at a time; a longer record is read whole.
const CHUNK_SIZE_BYTES: usize = 4 << 20;
const HEAD_SIZE_BYTES: usize = 8;
/// Digits in the name of a file.
const NAME_DIGITS: usize = 20;

/// One file of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    /// Position of its first byte.
    pub(crate) start: u64,
    pub(crate) size_bytes: u64,
}

/// The files, in order.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) files: Vec<LogFile>,
}

/// Where the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogEnd {
    /// Position after the last record.
    pub(crate) position: u64,
    /// Bytes behind it that are no record: of a write that was torn.
    pub(crate) cut_bytes: u64,
}

impl Log {
    /// The files in these folders.
    pub(crate) fn open(dirs: &[PathBuf]) -> Result<Self, MigrationError> {
        let mut files = Vec::new();
        for dir in dirs {
            let entries = fs::read_dir(dir).map_err(MigrationError::io("list", dir))?;
            for entry in entries {
                let entry = entry.map_err(MigrationError::io("list", dir))?;
                let path = entry.path();
                let metadata = entry.metadata().map_err(MigrationError::io("look at", &path))?;
                let start = entry.file_name().to_str().and_then(parse_name);
                // An empty one was being made.
                if let (true, Some(start), 1..) = (metadata.is_file(), start, metadata.len()) {
                    files.push(LogFile {
                        path,
                        start,
                        size_bytes: metadata.len(),
                    });
                }
            }
        }
        files.sort_unstable_by_key(|file| file.start);
        for pair in files.windows(2) {
            let [before, next] = pair else { continue };
            let expected = before.start + before.size_bytes;
            if next.start != expected {
                return Err(MigrationError::MissingFile {
                    expected,
                    next: next.path.clone(),
                });
            }
        }
        Ok(Self { files })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// The file and the place in it of a position.
    pub(crate) fn place(&self, position: u64) -> (PathBuf, u64) {
        let at = self.files.partition_point(|file| file.start <= position);
        match at.checked_sub(1).and_then(|at| self.files.get(at)) {
            Some(file) => (file.path.clone(), position - file.start),
            None => (PathBuf::new(), position),
        }
    }
}

fn parse_name(name: &str) -> Option<u64> {
    let is_name = name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| name.parse().ok())?
}

/// Goes through the log once.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    log: &'a Log,
    /// What is read, of the files.
    at: usize,
    file: Option<Window>,
    /// In the file.
    offset: u64,
    /// Take damage for the end.
    until_damage: bool,
    /// Where it is known to end, if that is known.
    known_end: u64,
    end: LogEnd,
    /// What was taken for the end although it is none.
    damage: Option<MigrationError>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(log: &'a Log, until_damage: bool) -> Self {
        let position = log.files.first().map_or(0, |file| file.start);
        Self {
            log,
            at: 0,
            file: None,
            offset: 0,
            until_damage,
            known_end: u64::MAX,
            end: LogEnd {
                position,
                cut_bytes: 0,
            },
            damage: None,
        }
    }

    /// To go through it once more, up to where it ended.
    pub(crate) fn again(log: &'a Log, end: LogEnd) -> Self {
        Self {
            known_end: end.position,
            ..Self::new(log, false)
        }
    }

    /// Where the log ended, once [`Reader::next`] has said that it did.
    pub(crate) fn end(&self) -> LogEnd {
        self.end
    }

    /// The damage that the log was read up to, if it was.
    pub(crate) fn damage(&self) -> Option<&MigrationError> {
        self.damage.as_ref()
    }

    /// The next record and its position; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, RecordView<'_>)>, MigrationError> {
        let size = loop {
            let Some(file) = self.log.files.get(self.at) else {
                return Ok(None);
            };
            if file.start + self.offset >= self.known_end {
                return Ok(None);
            }
            let window = match &mut self.file {
                Some(window) => window,
                empty => empty.insert(Window::open(file)?),
            };
            let head = window.bytes(self.offset, HEAD_SIZE_BYTES)?;
            match peek_size(head) {
                Peek::Blank(_) => self.next_file(),
                Peek::Short => {
                    // Every file keeps room for the head of a blank.
                    if self.offset < file.size_bytes {
                        return self.broken("a file that ends within a record's head".into());
                    }
                    self.next_file();
                }
                Peek::Message(size) if u64::from(size) > APPEND_SIZE_BYTES_MAX => {
                    return self.broken(format!("a record of {size} bytes, more than any may have"));
                }
                Peek::Message(size) => match check(window, file.start, self.offset, size as usize) {
                    Ok(()) => break size,
                    Err(Broken::Io(error)) => return Err(error),
                    Err(Broken::Record(why)) => return self.broken(why),
                },
                Peek::Zero => return self.broken("zeros where a record should be".into()),
                Peek::Invalid => return self.broken("no record's magic".into()),
            }
        };
        let (Some(file), Some(window)) = (self.log.files.get(self.at), &mut self.file) else {
            return Ok(None);
        };
        let position = file.start + self.offset;
        let offset = self.offset;
        self.offset += u64::from(size);
        self.end.position = position + u64::from(size);
        let record = RecordView::parse(window.bytes(offset, size as usize)?)?;
        Ok(Some((position, record)))
    }

    fn next_file(&mut self) {
        self.at += 1;
        self.file = None;
        self.offset = 0;
    }

    /// There is no record here: the log's end, or damage.
    fn broken(&mut self, why: String) -> Result<Option<(u64, RecordView<'static>)>, MigrationError> {
        let Some(file) = self.log.files.get(self.at) else {
            return Ok(None);
        };
        self.end.position = file.start + self.offset;
        let behind = look_behind(self.log, self.at, self.offset)?;
        self.end.cut_bytes = behind.used_bytes;
        let offset = self.offset;
        // Whatever comes, nothing more is read.
        self.at = self.log.files.len();
        let Some((next_file, next_offset)) = behind.whole else {
            return Ok(None);
        };
        let damage = MigrationError::Damaged {
            file: file.path.clone(),
            offset,
            why,
            next_file,
            next_offset,
        };
        if !self.until_damage {
            return Err(damage);
        }
        self.damage = Some(damage);
        Ok(None)
    }
}

enum Broken {
    Record(String),
    Io(MigrationError),
}

/// Whether the record there is whole, and is the one of its place.
fn check(window: &mut Window, start: u64, offset: u64, size: usize) -> Result<(), Broken> {
    let bytes = window.bytes(offset, size).map_err(Broken::Io)?;
    RecordView::parse(bytes)
        .and_then(|record| record.verify(start + offset))
        .map_err(|error| Broken::Record(error.to_string()))
}

/// What is behind a place where no record is.
#[derive(Debug, Default)]
struct Behind {
    /// The first whole record.
    whole: Option<(PathBuf, u64)>,
    /// How far from the place on there is something other than zeros, in its file.
    used_bytes: u64,
}

fn look_behind(log: &Log, at: usize, offset: u64) -> Result<Behind, MigrationError> {
    let mut behind = Behind::default();
    let Some(file) = log.files.get(at) else {
        return Ok(behind);
    };
    let mut window = Window::open(file)?;
    let mut from = offset;
    let zeros = vec![0; CHUNK_SIZE_BYTES];
    while from < file.size_bytes {
        // A file is mostly a hole behind its end.
        from = match window.data_from(from)? {
            Some(data) => data,
            None => break,
        };
        let chunk = window.bytes(from, CHUNK_SIZE_BYTES)?;
        if zeros.starts_with(chunk) {
            from += chunk.len().max(1) as u64;
            continue;
        }
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            behind.used_bytes = from + last as u64 + 1 - offset;
        }
        let size = chunk.len() as u64;
        let magics: Vec<u64> = magics(chunk).map(|magic| from + magic as u64).collect();
        for magic in magics {
            let Some(begin) = magic.checked_sub(4).filter(|begin| *begin > offset) else {
                continue;
            };
            let head = window.bytes(begin, HEAD_SIZE_BYTES)?;
            if let Peek::Message(size) = peek_size(head)
                && u64::from(size) <= APPEND_SIZE_BYTES_MAX
                && matches!(check(&mut window, file.start, begin, size as usize), Ok(()))
            {
                behind.whole = Some((file.path.clone(), begin));
                return Ok(behind);
            }
        }
        // A magic may lie across the edge.
        from += size.saturating_sub(3).max(1);
        if size <= 3 {
            break;
        }
    }
    for file in log.files.get(at + 1..).unwrap_or_default() {
        let mut window = Window::open(file)?;
        let head = window.bytes(0, HEAD_SIZE_BYTES)?;
        if let Peek::Message(size) = peek_size(head)
            && u64::from(size) <= APPEND_SIZE_BYTES_MAX
            && matches!(check(&mut window, file.start, 0, size as usize), Ok(()))
        {
            behind.whole = Some((file.path.clone(), 0));
            break;
        }
    }
    Ok(behind)
}

/// Where records' magics are.
fn magics(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let wanted = [MAGIC_V1.to_be_bytes(), MAGIC_V2.to_be_bytes()];
    memchr::memchr_iter(wanted[0][0], bytes).filter(move |at| {
        let found = bytes.get(*at..*at + 4);
        wanted.iter().any(|magic| found == Some(magic.as_slice()))
    })
}

/// A stretch of a file, in memory.
#[derive(Debug)]
pub(super) struct Window {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn open(file: &LogFile) -> Result<Self, MigrationError> {
        Self::of(&file.path, file.size_bytes)
    }

    pub(super) fn of(path: &Path, size_bytes: u64) -> Result<Self, MigrationError> {
        Ok(Self {
            path: path.to_owned(),
            file: File::open(path).map_err(MigrationError::io("open", path))?,
            size_bytes,
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// Where the file has something stored from `offset` on; the rest of it is zeros.
    fn data_from(&self, offset: u64) -> Result<Option<u64>, MigrationError> {
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            // Not every file system knows.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(error) => Err(MigrationError::io("read", &self.path)(error.into())),
        }
    }

    /// So many bytes of the file, or those that there are.
    pub(super) fn bytes(&mut self, offset: u64, count: usize) -> Result<&[u8], MigrationError> {
        let count = (count as u64).min(self.size_bytes.saturating_sub(offset));
        let held = self.start..self.start + self.bytes.len() as u64;
        if offset < held.start || offset + count > held.end {
            let size = count
                .max(CHUNK_SIZE_BYTES as u64)
                .min(self.size_bytes.saturating_sub(offset));
            // Bounded by the longest record.
            self.bytes.resize(size as usize, 0);
            self.start = offset;
            self.file
                .read_exact_at(&mut self.bytes, offset)
                .map_err(MigrationError::io("read", &self.path))?;
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + count as usize).unwrap_or_default())
    }
}
