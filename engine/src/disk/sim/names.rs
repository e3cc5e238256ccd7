//! The names on a simulated disk: those that a reader sees, and those that would survive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(super) type FileId = u64;

/// A change of names that happens whole or not at all.
#[derive(Debug, Clone)]
struct Change {
    /// The folder whose sync makes it durable.
    dir: PathBuf,
    set: Vec<(PathBuf, Option<FileId>)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    dirs: BTreeSet<PathBuf>,
    live: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    unsynced: Vec<Change>,
}

impl Names {
    pub(super) fn create_dir_all(&mut self, dir: &Path) {
        self.dirs.extend(dir.ancestors().map(Path::to_owned));
    }

    pub(super) fn has_dir(&self, dir: &Path) -> bool {
        self.dirs.contains(dir)
    }

    pub(super) fn get(&self, path: &Path) -> Option<FileId> {
        self.live.get(path).copied()
    }

    pub(super) fn get_durable(&self, path: &Path) -> Option<FileId> {
        self.durable.get(path).copied()
    }

    pub(super) fn in_dir(&self, dir: &Path) -> impl Iterator<Item = (&Path, FileId)> {
        self.live
            .iter()
            .filter(move |(path, _)| path.parent() == Some(dir))
            .map(|(path, id)| (path.as_path(), *id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Path, FileId)> {
        self.live.iter().map(|(path, id)| (path.as_path(), *id))
    }

    pub(super) fn all_live(&self) -> impl Iterator<Item = FileId> {
        self.live.values().copied()
    }

    /// Whether a name leads to the file, or may again after a loss of power.
    pub(super) fn may_lead_to(&self, id: FileId) -> bool {
        let unsynced = self.unsynced.iter().flat_map(|change| &change.set);
        self.live
            .values()
            .chain(self.durable.values())
            .any(|named| *named == id)
            || unsynced.into_iter().any(|(_, named)| *named == Some(id))
    }

    pub(super) fn create(&mut self, path: &Path, id: FileId) {
        self.change(path, vec![(path.to_owned(), Some(id))]);
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        let id = self.get(from);
        self.change(to, vec![(from.to_owned(), None), (to.to_owned(), id)]);
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(path, vec![(path.to_owned(), None)]);
    }

    fn change(&mut self, path: &Path, set: Vec<(PathBuf, Option<FileId>)>) {
        apply(&mut self.live, &set);
        let dir = path.parent().map(Path::to_owned).unwrap_or_default();
        self.unsynced.push(Change { dir, set });
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let (synced, left) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|change| change.dir == dir);
        self.unsynced = left;
        let synced: Vec<Change> = synced;
        for change in synced {
            apply(&mut self.durable, &change.set);
        }
    }

    /// The names after a loss of power. A change that did not survive takes those with it that touch the same names later,
    /// as a file system's journal does.
    pub(super) fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Self {
        let mut names = self.durable.clone();
        let mut lost = BTreeSet::new();
        for change in &self.unsynced {
            let follows_lost = change.set.iter().any(|(path, _)| lost.contains(path));
            if survives() && !follows_lost {
                apply(&mut names, &change.set);
            } else {
                lost.extend(change.set.iter().map(|(path, _)| path));
            }
        }
        Self {
            dirs: self.dirs.clone(),
            live: names.clone(),
            durable: names,
            unsynced: Vec::new(),
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, FileId>, set: &[(PathBuf, Option<FileId>)]) {
    for (path, id) in set {
        match id {
            Some(id) => names.insert(path.clone(), *id),
            None => names.remove(path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    #[test]
    fn names_not_synced_may_vanish_or_come_back() {
        let mut names = Names::default();
        names.create(&path("a"), 1);
        names.sync_dir(Path::new("/d"));
        names.rename(&path("a"), &path("b"));
        names.create(&path("c"), 2);
        assert_eq!((names.get(&path("a")), names.get(&path("b"))), (None, Some(1)));

        let none = names.after_power_cut(|| false);
        assert_eq!(
            (none.get(&path("a")), none.get(&path("b")), none.get(&path("c"))),
            (Some(1), None, None)
        );
        let all = names.after_power_cut(|| true);
        assert_eq!(
            (all.get(&path("a")), all.get(&path("b")), all.get(&path("c"))),
            (None, Some(1), Some(2))
        );
        let mut second = [false, true].into_iter();
        let some = names.after_power_cut(|| second.next() == Some(true));
        assert_eq!(
            (some.get(&path("a")), some.get(&path("b")), some.get(&path("c"))),
            (Some(1), None, Some(2))
        );
    }

    #[test]
    fn a_lost_change_takes_those_that_build_on_it() {
        let mut names = Names::default();
        names.create(&path("a"), 1);
        names.rename(&path("a"), &path("b"));
        let mut second = [false, true].into_iter();
        let some = names.after_power_cut(|| second.next() == Some(true));
        assert_eq!((some.get(&path("a")), some.get(&path("b"))), (None, None));
    }

    #[test]
    fn syncing_another_folder_changes_nothing() {
        let mut names = Names::default();
        names.create(&path("a"), 1);
        names.sync_dir(Path::new("/e"));
        assert_eq!(names.after_power_cut(|| false).get(&path("a")), None);
        names.sync_dir(Path::new("/d"));
        assert_eq!(names.after_power_cut(|| false).get(&path("a")), Some(1));
    }
}
