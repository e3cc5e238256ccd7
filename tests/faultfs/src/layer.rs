//! The kernel's requests, answered from memory and the backing folder.

mod handles;
mod nodes;

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use rustix::io::Errno as Number;

use crate::faults::{FailedSync, Faults};
use handles::Handles;
use nodes::Nodes;

/// For how long the kernel may believe what it was told of a file. Nobody but the kernel changes files here.
const BELIEVED: Duration = Duration::from_secs(3600);

/// No numbers are used twice, so there is one generation of them.
const GENERATION: Generation = Generation(0);

/// Flags of `fallocate` that this layer knows: none, and FALLOC_FL_KEEP_SIZE.
const ALLOCATE: i32 = 0;
const ALLOCATE_KEEP_SIZE: i32 = 1;

/// Answers the kernel.
#[derive(Debug)]
pub(crate) struct Layer {
    nodes: Mutex<Nodes>,
    handles: Mutex<Handles>,
    faults: Arc<Faults>,
}

impl Layer {
    pub(crate) fn new(backing: PathBuf, faults: Arc<Faults>) -> io::Result<Self> {
        fs::metadata(&backing)?;
        Ok(Self {
            nodes: Mutex::new(Nodes::new(backing)),
            handles: Mutex::default(),
            faults,
        })
    }

    fn path_of(&self, folder: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        let nodes = self.nodes.lock();
        Ok(nodes.path(folder.0).ok_or(Number::NOENT)?.join(name))
    }

    fn backing_of(&self, path: &std::path::Path) -> PathBuf {
        self.nodes.lock().below(path)
    }

    /// What is at the name, numbered if it was not yet.
    fn entry(&self, folder: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        let path = self.path_of(folder, name)?;
        let mut nodes = self.nodes.lock();
        let metadata = fs::symlink_metadata(nodes.below(&path))?;
        let number = nodes.number(&path);
        let size = nodes
            .contents(number)
            .map(|contents| contents.lock().size_bytes());
        attributes(number, &metadata, size)
    }

    fn attributes(&self, ino: INodeNo) -> io::Result<FileAttr> {
        let nodes = self.nodes.lock();
        let contents = nodes.contents(ino.0);
        match (nodes.path(ino.0), contents) {
            (Some(path), contents) => {
                let metadata = fs::symlink_metadata(nodes.below(path))?;
                let size = contents.map(|contents| contents.lock().size_bytes());
                attributes(ino.0, &metadata, size)
            }
            // Removed, and still open.
            (None, Some(contents)) => {
                let contents = contents.lock();
                attributes(ino.0, &contents.metadata()?, Some(contents.size_bytes()))
            }
            (None, None) => Err(Number::NOENT.into()),
        }
    }

    fn set(&self, ino: INodeNo, mode: Option<u32>, size: Option<u64>) -> io::Result<FileAttr> {
        if let Some(size) = size {
            let contents = self.nodes.lock().open(ino.0)?;
            contents.lock().set_size(size)?;
        }
        if let Some(mode) = mode {
            let nodes = self.nodes.lock();
            let path = nodes.path(ino.0).ok_or(Number::NOENT)?;
            fs::set_permissions(nodes.below(path), fs::Permissions::from_mode(mode & 0o7777))?;
        }
        self.attributes(ino)
    }

    fn open_file(&self, ino: INodeNo) -> io::Result<FileHandle> {
        let contents = self.nodes.lock().open(ino.0)?;
        let failures = contents.lock().failures();
        Ok(FileHandle(self.handles.lock().open(failures)))
    }

    fn sync(&self, ino: INodeNo, handle: FileHandle) -> io::Result<()> {
        self.check_power()?;
        let (contents, path) = {
            let nodes = self.nodes.lock();
            (nodes.contents(ino.0), nodes.last_path(ino.0))
        };
        let fails = self.faults.note_sync(&path);
        let Some(contents) = contents else {
            return Ok(());
        };
        let mut contents = contents.lock();
        if fails {
            let lost_bytes = contents.lose_unsynced();
            self.faults.note_failed(FailedSync { path, lost_bytes });
        }
        if self.handles.lock().is_told(handle.0, contents.failures()) {
            return Err(Number::IO.into());
        }
        contents.sync()
    }

    fn write(&self, ino: INodeNo, offset: u64, data: &[u8]) -> io::Result<u32> {
        self.check_power()?;
        let contents = self.nodes.lock().open(ino.0)?;
        contents.lock().write(offset, data)?;
        Ok(u32::try_from(data.len()).unwrap_or(u32::MAX))
    }

    fn allocate(&self, ino: INodeNo, end: Option<u64>, mode: i32) -> io::Result<()> {
        let end = end.ok_or(Number::FBIG)?;
        match mode {
            ALLOCATE_KEEP_SIZE => Ok(()),
            ALLOCATE => {
                let contents = self.nodes.lock().open(ino.0)?;
                let mut contents = contents.lock();
                if end > contents.size_bytes() {
                    contents.set_size(end)?;
                }
                Ok(())
            }
            _ => Err(Number::OPNOTSUPP.into()),
        }
    }

    /// Names and kinds of what is in a folder, the folder and the one above included.
    fn list(&self, ino: INodeNo) -> io::Result<Vec<(u64, FileType, std::ffi::OsString)>> {
        let mut nodes = self.nodes.lock();
        let folder = nodes.path(ino.0).ok_or(Number::NOENT)?.to_owned();
        let mut found = vec![
            (ino.0, FileType::Directory, ".".into()),
            (ino.0, FileType::Directory, "..".into()),
        ];
        for entry in fs::read_dir(nodes.below(&folder))? {
            let entry = entry?;
            let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
            let number = nodes.number(&folder.join(entry.file_name()));
            found.push((number, kind, entry.file_name()));
        }
        Ok(found)
    }

    fn remove(
        &self,
        folder: INodeNo,
        name: &OsStr,
        remove: impl FnOnce(PathBuf) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.path_of(folder, name)?;
        remove(self.backing_of(&path))?;
        self.nodes.lock().remove(&path);
        Ok(())
    }

    fn rename_to(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> io::Result<()> {
        if !flags.is_empty() {
            return Err(Number::INVAL.into());
        }
        let (from, to) = (self.path_of(from.0, from.1)?, self.path_of(to.0, to.1)?);
        fs::rename(self.backing_of(&from), self.backing_of(&to))?;
        self.nodes.lock().rename(&from, &to);
        Ok(())
    }

    fn create_file(&self, folder: INodeNo, name: &OsStr, mode: u32) -> io::Result<(FileAttr, FileHandle)> {
        self.check_power()?;
        let path = self.path_of(folder, name)?;
        File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(self.backing_of(&path))?;
        let attributes = self.entry(folder, name)?;
        Ok((attributes, self.open_file(attributes.ino)?))
    }

    fn volume(&self) -> io::Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::statvfs(self.backing_of(std::path::Path::new("")))?)
    }

    fn check_power(&self) -> io::Result<()> {
        if self.faults.power_is_off() {
            return Err(Number::IO.into());
        }
        Ok(())
    }
}

fn attributes(number: u64, metadata: &Metadata, size: Option<u64>) -> io::Result<FileAttr> {
    let time = |seconds: i64, nanoseconds: i64| -> SystemTime {
        let (seconds, nanoseconds) = (u64::try_from(seconds), u32::try_from(nanoseconds));
        UNIX_EPOCH + Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
    };
    let changed = time(metadata.ctime(), metadata.ctime_nsec());
    Ok(FileAttr {
        ino: INodeNo(number),
        size: size.unwrap_or(metadata.len()),
        blocks: metadata.blocks(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: changed,
        crtime: changed,
        kind: FileType::from_std(metadata.file_type()).ok_or(Number::NODEV)?,
        perm: (metadata.mode() & 0o7777) as u16,
        nlink: u32::try_from(metadata.nlink()).unwrap_or(u32::MAX),
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

/// What a request is answered, in the one way that all answers have.
macro_rules! answer {
    ($reply:ident, $outcome:expr, $done:expr) => {
        match $outcome {
            Ok(outcome) => {
                let done: fn(_, _) = $done;
                done($reply, outcome);
            }
            Err(error) => $reply.error(Errno::from(error)),
        }
    };
}

impl Filesystem for Layer {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.entry(parent, name), |reply: ReplyEntry, found| reply
            .entry(&BELIEVED, &found, GENERATION));
    }

    fn forget(&self, _: &Request, ino: INodeNo, _: u64) {
        self.nodes.lock().forget(ino.0);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.attributes(ino), |reply: ReplyAttr, found| reply
            .attr(&BELIEVED, &found));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer!(reply, self.set(ino, mode, size), |reply: ReplyAttr, found| reply
            .attr(&BELIEVED, &found));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self
            .path_of(parent, name)
            .and_then(|path| fs::create_dir(self.backing_of(&path)))
            .and_then(|()| self.entry(parent, name));
        answer!(reply, made, |reply: ReplyEntry, found| reply
            .entry(&BELIEVED, &found, GENERATION));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(
            reply,
            self.remove(parent, name, fs::remove_file),
            |reply: ReplyEmpty, ()| reply.ok()
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(
            reply,
            self.remove(parent, name, fs::remove_dir),
            |reply: ReplyEmpty, ()| reply.ok()
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(
            reply,
            self.rename_to((parent, name), (newparent, newname), flags),
            |reply: ReplyEmpty, ()| reply.ok()
        );
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // As on other disks, what is in the page cache is good whoever opens the file.
        answer!(reply, self.open_file(ino), |reply: ReplyOpen, handle| reply
            .opened(handle, FopenFlags::FOPEN_KEEP_CACHE));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        answer!(
            reply,
            self.create_file(parent, name, mode),
            |reply: ReplyCreate, (made, handle): (FileAttr, FileHandle)| reply.created(
                &BELIEVED,
                &made,
                GENERATION,
                handle,
                FopenFlags::FOPEN_KEEP_CACHE
            )
        );
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let contents = self.nodes.lock().open(ino.0);
        let found = contents.and_then(|contents| contents.lock().read(offset, u64::from(size)));
        answer!(reply, found, |reply: ReplyData, bytes: Vec<u8>| reply
            .data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.faults
            .note_write(flags.contains(WriteFlags::FUSE_WRITE_CACHE));
        answer!(
            reply,
            self.write(ino, offset, data),
            |reply: ReplyWrite, count| reply.written(count)
        );
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A file is closed: that makes nothing durable.
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.handles.lock().close(handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.sync(ino, handle), |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Names are durable at once.
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.list(ino) {
            Ok(found) => {
                for (next, (number, kind, name)) in (1..).zip(found).skip(offset as usize) {
                    if reply.add(INodeNo(number), next, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        answer!(
            reply,
            self.volume(),
            |reply: ReplyStatfs, volume: rustix::fs::StatVfs| {
                reply.statfs(
                    volume.f_blocks,
                    volume.f_bfree,
                    volume.f_bavail,
                    volume.f_files,
                    volume.f_ffree,
                    volume.f_bsize as u32,
                    volume.f_namemax as u32,
                    volume.f_frsize as u32,
                );
            }
        );
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let end = offset.checked_add(length);
        answer!(reply, self.allocate(ino, end, mode), |reply: ReplyEmpty, ()| {
            reply.ok()
        });
    }
}
