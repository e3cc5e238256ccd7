//! All of a simulated disk that its handles share.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::image::{Image, Survivors};
use super::names::{FileId, Names};
use super::script::{Op, Script, Tear, Verdict};
use crate::disk::{Durability, Listed, OpenMode};

/// What an unlimited disk says is free.
const CAPACITY_DEFAULT_BYTES: u64 = 1 << 40;

#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    pub(super) image: Image,
    /// Where reading fails.
    pub(super) bad: Vec<Range<u64>>,
    /// The name it has, or had last.
    path: PathBuf,
    handles: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) script: Script,
    pub(super) names: Names,
    pub(super) files: BTreeMap<FileId, FileState>,
    pub(super) capacity_bytes: u64,
    next_id: FileId,
}

impl Default for State {
    fn default() -> Self {
        Self {
            script: Script::default(),
            names: Names::default(),
            files: BTreeMap::new(),
            capacity_bytes: CAPACITY_DEFAULT_BYTES,
            next_id: 0,
        }
    }
}

impl State {
    pub(super) fn file_at(&mut self, path: &Path) -> io::Result<&mut FileState> {
        let id = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.file(id)
    }

    pub(super) fn file(&mut self, id: FileId) -> io::Result<&mut FileState> {
        self.files
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.script.check()?;
        if !self.names.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let listed = self.names.in_dir(dir).filter_map(|(path, id)| {
            let name = path.file_name()?.to_str()?.to_owned();
            let size_bytes = self.files.get(&id)?.image.live().len() as u64;
            Some(Listed { name, size_bytes })
        });
        Ok(listed.collect())
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<FileId> {
        self.script.check()?;
        if mode == OpenMode::CreateNew {
            return self.create(path);
        }
        let id = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.file(id)?.handles += 1;
        Ok(id)
    }

    fn create(&mut self, path: &Path) -> io::Result<FileId> {
        if self.names.get(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| self.names.has_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (tear, result) = self
            .script
            .next(Op::Create {
                path: path.to_owned(),
            })?
            .outcome();
        let id = self.next_id;
        if tear.whole() {
            self.next_id += 1;
            let handles = usize::from(result.is_ok());
            let file = FileState {
                path: path.to_owned(),
                handles,
                ..FileState::default()
            };
            self.files.insert(id, file);
            self.names.create(path, id);
        }
        result.map(|()| id)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.script.check()?;
        let id = self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if !to.parent().is_some_and(|dir| self.names.has_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let replaced = self.names.get(to).filter(|replaced| *replaced != id);
        let op = Op::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let (tear, result) = self.script.next(op)?.outcome();
        if tear.whole() {
            self.names.rename(from, to);
            self.file(id)?.path = to.to_owned();
            if let Some(replaced) = replaced {
                self.forget_if_unreachable(replaced);
            }
        }
        result
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.script.check()?;
        let id = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let (tear, result) = self
            .script
            .next(Op::Remove {
                path: path.to_owned(),
            })?
            .outcome();
        if tear.whole() {
            self.names.remove(path);
            self.forget_if_unreachable(id);
        }
        result
    }

    pub(super) fn write(&mut self, id: FileId, bytes: &[u8], position: u64) -> io::Result<()> {
        self.script.check()?;
        let path = self.file(id)?.path.clone();
        let op = Op::Write {
            path,
            position,
            size_bytes: bytes.len(),
        };
        let verdict = self.room_for(id, position, bytes.len(), op)?;
        let (tear, result) = verdict.outcome();
        self.file(id)?.image.write(bytes, in_memory(position)?, tear);
        result
    }

    pub(super) fn start_group(&mut self, id: FileId, bytes: &[u8], position: u64) -> io::Result<()> {
        self.script.check()?;
        let position = in_memory(position)?;
        self.file(id)?.image.start_group(bytes, position);
        Ok(())
    }

    pub(super) fn finish_group(
        &mut self,
        id: FileId,
        bytes: &[u8],
        position: u64,
        durability: Durability,
    ) -> io::Result<()> {
        self.script.check()?;
        let path = self.file(id)?.path.clone();
        let op = Op::Group {
            path,
            position,
            size_bytes: bytes.len(),
        };
        let verdict = self.room_for(id, position, bytes.len(), op)?;
        let (tear, result) = verdict.outcome();
        let position = in_memory(position)?;
        let image = &mut self.file(id)?.image;
        if let Verdict::Drops = verdict {
            image.write(bytes, position, Tear::All);
            image.drop_unsynced();
            return result;
        }
        match durability {
            Durability::Durable => image.finish_group(bytes, position, tear),
            Durability::Relaxed => {
                image.finish_group(&[], position, tear);
                image.write(bytes, position, tear);
            }
        }
        result
    }

    pub(super) fn sync(&mut self, id: FileId) -> io::Result<()> {
        self.script.check()?;
        let path = self.file(id)?.path.clone();
        let verdict = self.script.next(Op::Sync { path })?;
        let image = &mut self.file(id)?.image;
        if let Verdict::Drops = verdict {
            image.drop_unsynced();
        }
        let (tear, result) = verdict.outcome();
        image.sync(tear);
        result
    }

    pub(super) fn close(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.handles = file.handles.saturating_sub(1);
        }
        self.forget_if_unreachable(id);
    }

    pub(super) fn free_bytes(&self) -> u64 {
        let used = self.names.all_live().filter_map(|id| self.files.get(&id));
        let used_bytes = used.map(|file| file.image.live().len() as u64).sum();
        self.capacity_bytes.saturating_sub(used_bytes)
    }

    pub(super) fn after_power_cut(&self, survivors: Survivors) -> Self {
        let mut survives = survivors.chooser();
        let names = self.names.after_power_cut(&mut survives);
        self.next_start(names, |image| image.after_power_cut(&mut survives))
    }

    pub(super) fn after_kill(&self) -> Self {
        self.next_start(self.names.clone(), Image::after_kill)
    }

    fn next_start(&self, names: Names, mut image: impl FnMut(&Image) -> Image) -> Self {
        let mut files = BTreeMap::new();
        for (id, file) in &self.files {
            let file = FileState {
                image: image(&file.image),
                bad: file.bad.clone(),
                path: file.path.clone(),
                handles: 0,
            };
            files.insert(*id, file);
        }
        let mut state = Self {
            script: Script::default(),
            names,
            files,
            capacity_bytes: self.capacity_bytes,
            next_id: self.next_id,
        };
        state.rename_to_names();
        state
    }

    /// After names changed behind the files' backs.
    fn rename_to_names(&mut self) {
        let (names, files) = (&self.names, &mut self.files);
        files.retain(|id, _| names.may_lead_to(*id));
        for (path, id) in names.all() {
            if let Some(file) = files.get_mut(&id) {
                file.path = path.to_owned();
            }
        }
    }

    /// Numbers a write; if it does not fit on the disk, it fails whatever the script says.
    fn room_for(&mut self, id: FileId, position: u64, size: usize, op: Op) -> io::Result<Verdict> {
        let end = position.saturating_add(size as u64);
        let grows_bytes = end.saturating_sub(self.file(id)?.image.live().len() as u64);
        let free_bytes = self.free_bytes();
        let verdict = self.script.next(op)?;
        if grows_bytes > free_bytes && !matches!(verdict, Verdict::Crashes(_)) {
            self.script.refuse_last();
            return Ok(Verdict::Fails(Errno::NOSPC, Tear::None));
        }
        Ok(verdict)
    }

    fn forget_if_unreachable(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| file.handles == 0) && !self.names.may_lead_to(id) {
            self.files.remove(&id);
        }
    }
}

pub(super) fn in_memory(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
