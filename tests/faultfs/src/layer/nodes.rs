//! Files and folders by the numbers that the kernel calls them by.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::contents::Contents;

/// The number of the root.
const ROOT: u64 = 1;

/// A file or a folder.
#[derive(Debug, Clone)]
struct Node {
    /// From the root of the folder; of what was removed, where it was.
    path: PathBuf,
    is_removed: bool,
    /// Set once somebody opened the file. It stays with the file, whoever closes it: what is not synced is in here.
    contents: Option<Arc<Mutex<Contents>>>,
}

/// As many as the folder has had files while it was mounted, which for a broker's store is few.
#[derive(Debug)]
pub(super) struct Nodes {
    backing: PathBuf,
    by_number: HashMap<u64, Node>,
    by_path: HashMap<PathBuf, u64>,
    next: u64,
}

impl Nodes {
    pub(super) fn new(backing: PathBuf) -> Self {
        let root = Node {
            path: PathBuf::new(),
            is_removed: false,
            contents: None,
        };
        Self {
            backing,
            by_number: HashMap::from([(ROOT, root)]),
            by_path: HashMap::from([(PathBuf::new(), ROOT)]),
            next: ROOT + 1,
        }
    }

    /// The path, from the root, of a node that is not removed.
    pub(super) fn path(&self, number: u64) -> Option<&Path> {
        let node = self.by_number.get(&number)?;
        (!node.is_removed).then_some(node.path.as_path())
    }

    /// Where the node is or was, for saying so.
    pub(super) fn last_path(&self, number: u64) -> PathBuf {
        self.by_number
            .get(&number)
            .map(|node| node.path.clone())
            .unwrap_or_default()
    }

    pub(super) fn below(&self, path: &Path) -> PathBuf {
        self.backing.join(path)
    }

    /// The number of what is at `path`, a new one if it had none.
    pub(super) fn number(&mut self, path: &Path) -> u64 {
        if let Some(number) = self.by_path.get(path) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        let node = Node {
            path: path.to_owned(),
            is_removed: false,
            contents: None,
        };
        self.by_number.insert(number, node);
        self.by_path.insert(path.to_owned(), number);
        number
    }

    /// What the file holds, if anybody opened it yet.
    pub(super) fn contents(&self, number: u64) -> Option<Arc<Mutex<Contents>>> {
        self.by_number.get(&number)?.contents.clone()
    }

    /// What the file holds; its backing file is opened the first time.
    pub(super) fn open(&mut self, number: u64) -> io::Result<Arc<Mutex<Contents>>> {
        let node = self.by_number.get_mut(&number).ok_or(rustix::io::Errno::NOENT)?;
        if let Some(contents) = &node.contents {
            return Ok(Arc::clone(contents));
        }
        let backing = File::options()
            .read(true)
            .write(true)
            .open(self.backing.join(&node.path))?;
        let contents = Arc::new(Mutex::new(Contents::new(backing)?));
        node.contents = Some(Arc::clone(&contents));
        Ok(contents)
    }

    /// The name is gone; whoever has the file open keeps it.
    pub(super) fn remove(&mut self, path: &Path) {
        if let Some(number) = self.by_path.remove(path)
            && let Some(node) = self.by_number.get_mut(&number)
        {
            node.is_removed = true;
        }
    }

    /// What was at `from`, and below it, is at `to`. What was at `to` is removed.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        self.remove(to);
        let nothing = PathBuf::new();
        let moved: Vec<PathBuf> = self
            .by_path
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for old in moved {
            let Some(number) = self.by_path.remove(&old) else {
                continue;
            };
            let below = old.strip_prefix(from).unwrap_or(&nothing);
            // Joining an empty path would leave a slash behind.
            let new = if below.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(below)
            };
            if let Some(node) = self.by_number.get_mut(&number) {
                node.path.clone_from(&new);
            }
            self.by_path.insert(new, number);
        }
    }

    /// The kernel has no use for the number any more.
    pub(super) fn forget(&mut self, number: u64) {
        if self.by_number.get(&number).is_some_and(|node| node.is_removed) {
            self.by_number.remove(&number);
        }
    }
}
