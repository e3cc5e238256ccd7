//! A store's folder: what makes it a store, and who may use it.
//!
//! ```text
//! DIR/identity            magic, version, segment size: written once, when the store is made
//! DIR/importing           there until a store that is filled from another one is complete
//! DIR/lock                held by the process that has the store open; holds its process id
//! DIR/checkpoint.0 .1     see view/checkpoint.rs
//! DIR/log/<20 digits>     segments
//! DIR/index/<20 digits>   the index of each sealed segment
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{BLOCK_SIZE_BYTES, Disk, OpenMode};
use crate::error::OpenError;
use crate::fields::Fields;
use crate::limits::{SEGMENT_SIZE_BYTES_MAX, SEGMENT_SIZE_BYTES_MIN};

const MAGIC: &[u8; 8] = b"KOUROUST";
const VERSION: u32 = 1;
/// The identity file's.
pub(crate) const SIZE_BYTES: usize = 24;
/// Files that a new store's folder may already hold: what is left of a start that did not get to the identity file.
const OURS: [&str; 3] = ["lock", "identity.new", "importing"];

/// The parts of a store's folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) index: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            log: root.join("log"),
            index: root.join("index"),
        }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn importing(&self) -> PathBuf {
        self.root.join("importing")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }
}

/// Refuses a folder that holds files but no store, before anything is written to it.
pub(crate) fn refuse_foreign(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    let names = disk
        .list(&layout.root)
        .map_err(OpenError::io("list", &layout.root))?;
    if names.iter().any(|listed| listed.name == "identity") {
        return Ok(());
    }
    match names
        .into_iter()
        .find(|listed| !OURS.contains(&listed.name.as_str()))
    {
        Some(found) => Err(OpenError::NotAStore {
            dir: layout.root.clone(),
            found: found.name,
        }),
        None => Ok(()),
    }
}

/// Refuses half of an import, or for an import what is a store already, before anything is written to it.
pub(crate) fn check_import(disk: &dyn Disk, layout: &Layout, importing: bool) -> Result<(), OpenError> {
    let names = disk
        .list(&layout.root)
        .map_err(OpenError::io("list", &layout.root))?;
    let holds = |name: &str| names.iter().any(|listed| listed.name == name);
    match (importing, holds("importing"), holds("identity")) {
        (false, true, _) => Err(OpenError::HalfImported {
            dir: layout.root.clone(),
        }),
        (true, _, true) => Err(OpenError::NotNew {
            dir: layout.root.clone(),
        }),
        _ => Ok(()),
    }
}

/// Says, durably, that what follows is not all of a store.
pub(crate) fn begin_import(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    let path = layout.importing();
    let file = match disk.open(&path, OpenMode::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path, OpenMode::ReadWrite),
        opened => opened,
    };
    file.and_then(|file| {
        file.write_at(b"this store is being filled from another one\n", 0)?;
        file.sync()?;
        disk.sync_dir(&layout.root)
    })
    .map_err(OpenError::io("write", path))
}

/// What was to be filled is complete.
pub(crate) fn end_import(disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
    disk.remove(&layout.importing())?;
    disk.sync_dir(&layout.root)
}

/// Takes the store for this process, until what is returned is dropped.
pub(crate) fn lock(
    disk: &dyn Disk,
    layout: &Layout,
) -> Result<Box<dyn std::any::Any + Send + Sync>, OpenError> {
    locked(disk, layout, disk.lock(&layout.lock()))
}

/// Keeps the store closed while somebody looks at it, until what is returned is dropped.
pub(crate) fn hold(
    disk: &dyn Disk,
    layout: &Layout,
) -> Result<Box<dyn std::any::Any + Send + Sync>, OpenError> {
    locked(disk, layout, disk.hold(&layout.lock()))
}

fn locked(
    disk: &dyn Disk,
    layout: &Layout,
    outcome: io::Result<Option<Box<dyn std::any::Any + Send + Sync>>>,
) -> Result<Box<dyn std::any::Any + Send + Sync>, OpenError> {
    let path = layout.lock();
    match outcome {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => {
            let pid = read_pid(disk, &path).unwrap_or_else(|_| "unknown".into());
            Err(OpenError::Locked {
                dir: layout.root.clone(),
                pid,
            })
        }
        Err(error) => Err(OpenError::io("lock", path)(error)),
    }
}

fn read_pid(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.size_bytes()?).unwrap_or(0).min(32)];
    file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Reads the store's identity, or makes a new store. Returns the segment size that holds for it.
pub(crate) fn identify(disk: &dyn Disk, layout: &Layout, segment_size_bytes: u64) -> Result<u64, OpenError> {
    match read_identity(disk, layout)? {
        Some(segment_size_bytes) => Ok(segment_size_bytes),
        None => create(disk, layout, segment_size_bytes),
    }
}

/// Reads the store's identity: the segment size that holds for it; `None` if there is no such file.
pub(crate) fn read_identity(disk: &dyn Disk, layout: &Layout) -> Result<Option<u64>, OpenError> {
    let path = layout.identity();
    match disk.open(&path, OpenMode::Read) {
        Ok(file) => {
            let size = file.size_bytes().map_err(OpenError::io("measure", &path))?;
            if size == SIZE_BYTES as u64 {
                let mut bytes = [0; SIZE_BYTES];
                file.read_at(&mut bytes, 0)
                    .map_err(OpenError::io("read", &path))?;
                return parse(&path, &bytes).map(Some);
            }
            Err(OpenError::Corrupt {
                file: path,
                offset: 0,
                expected: format!("{SIZE_BYTES} bytes"),
                found: format!("{size} bytes"),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("open", path)(error)),
    }
}

fn create(disk: &dyn Disk, layout: &Layout, segment_size_bytes: u64) -> Result<u64, OpenError> {
    check_segment_size(segment_size_bytes)?;
    let new = layout.root.join("identity.new");
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(OpenError::io("remove", new)(error));
        }
        _ => {}
    }
    let file = disk
        .open(&new, OpenMode::CreateNew)
        .map_err(OpenError::io("create", &new))?;
    file.write_at(&encode(segment_size_bytes), 0)
        .map_err(OpenError::io("write", &new))?;
    file.sync().map_err(OpenError::io("sync", &new))?;
    disk.rename(&new, &layout.identity())
        .map_err(OpenError::io("rename", &new))?;
    disk.sync_dir(&layout.root)
        .map_err(OpenError::io("sync", &layout.root))?;
    Ok(segment_size_bytes)
}

fn check_segment_size(segment_size_bytes: u64) -> Result<(), OpenError> {
    let refuse = |why| OpenError::Option {
        option: "segment_size_bytes",
        value: segment_size_bytes,
        why,
    };
    if !(SEGMENT_SIZE_BYTES_MIN..=SEGMENT_SIZE_BYTES_MAX).contains(&segment_size_bytes) {
        return Err(refuse("it must be between 64 KiB and 2 GiB"));
    }
    if !segment_size_bytes.is_multiple_of(BLOCK_SIZE_BYTES as u64) {
        return Err(refuse("it must be a multiple of 4096"));
    }
    Ok(())
}

fn encode(segment_size_bytes: u64) -> [u8; SIZE_BYTES] {
    let mut bytes = [0; SIZE_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&segment_size_bytes.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn parse(path: &Path, bytes: &[u8; SIZE_BYTES]) -> Result<u64, OpenError> {
    let corrupt = |expected: &str, found: String| OpenError::Corrupt {
        file: path.to_owned(),
        offset: 0,
        expected: expected.to_owned(),
        found,
    };
    let mut fields = Fields::new(bytes);
    let magic = fields.take(8).unwrap_or_default();
    if magic != MAGIC {
        return Err(corrupt("KOUROUST", String::from_utf8_lossy(magic).into_owned()));
    }
    let (Ok(version), Ok(segment_size_bytes), Ok(crc)) = (fields.u32(), fields.u64(), fields.u32()) else {
        return Err(corrupt("24 bytes", "fewer".into()));
    };
    let computed = crc32fast::hash(&bytes[..20]);
    if computed != crc {
        return Err(corrupt(
            &format!("checksum {crc:#010x}"),
            format!("{computed:#010x}"),
        ));
    }
    if version != VERSION {
        return Err(OpenError::Version {
            file: path.to_owned(),
            expected: VERSION,
            found: version,
        });
    }
    check_segment_size(segment_size_bytes)?;
    Ok(segment_size_bytes)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn an_identity_says_the_segment_size_and_every_flipped_bit_is_found() {
        let clean = encode(1 << 20);
        assert_eq!(parse(Path::new("identity"), &clean).unwrap(), 1 << 20);
        for bit in 0..clean.len() * 8 {
            let mut bytes = clean;
            bytes[bit / 8] ^= 1 << (bit % 8);
            parse(Path::new("identity"), &bytes).unwrap_err();
        }
    }
}
