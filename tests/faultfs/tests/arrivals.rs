//! What the kernel makes of each way to write durably, and that faults do what they say. Needs `/dev/fuse` and root.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::{IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;

use kourou_faultfs::{Arrivals, Mounted, is_available};
use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags, pwritev2};

/// A layer over an empty folder.
struct Case {
    backing: tempfile::TempDir,
    // Before the folder that it is mounted on goes.
    mounted: Mounted,
    _at: tempfile::TempDir,
}

impl Case {
    /// `None`, said aloud, where there is no FUSE.
    fn new() -> Option<Self> {
        if !is_available() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: /dev/fuse cannot be opened");
            return None;
        }
        let (backing, at) = (folder(), folder());
        let mounted = Mounted::new(backing.path(), at.path()).unwrap();
        Some(Self {
            backing,
            mounted,
            _at: at,
        })
    }

    fn create(&self, name: &str) -> File {
        let path = self.mounted.path().join(name);
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .unwrap()
    }

    /// What is on the disk.
    fn durable(&self, name: &str) -> Vec<u8> {
        fs::read(self.backing.path().join(name)).unwrap()
    }

    fn seen(&self, name: &str) -> Vec<u8> {
        fs::read(self.mounted.path().join(name)).unwrap()
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A block that O_DIRECT accepts: page-aligned memory.
fn block(byte: u8) -> (Vec<u8>, std::ops::Range<usize>) {
    let room = vec![byte; 3 * 4096];
    let skip = room.as_ptr().align_offset(4096);
    (room, skip..skip + 4096)
}

fn arrived(writes: u64, cached: u64, syncs: u64) -> Arrivals {
    Arrivals {
        writes,
        writes_of_cached_pages: cached,
        syncs,
    }
}

#[test]
fn a_write_is_durable_after_a_sync_and_not_before() {
    let Some(case) = Case::new() else { return };
    let file = case.create("file");
    file.write_all_at(b"unsynced", 0).unwrap();
    assert_eq!(case.durable("file"), b"");
    assert_eq!(case.seen("file"), b"unsynced");
    file.sync_data().unwrap();
    assert_eq!(case.durable("file"), b"unsynced");
    assert_eq!(case.mounted.arrivals(), arrived(1, 0, 1));
}

/// The commit log of kourou is written like this.
#[test]
fn a_durable_write_past_the_page_cache_arrives_as_a_write_and_a_sync() {
    let Some(case) = Case::new() else { return };
    case.create("file").set_len(4096).unwrap();
    let direct = File::options()
        .write(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(case.mounted.path().join("file"))
        .unwrap();
    let (block, at) = block(7);
    let block = [IoSlice::new(&block[at])];
    let written = pwritev2(&direct, &block, 0, ReadWriteFlags::DSYNC).unwrap();
    assert_eq!(written, 4096);
    assert_eq!(case.mounted.arrivals(), arrived(1, 0, 1));
    assert_eq!(case.durable("file"), [7; 4096]);

    case.mounted.fail_sync("file", 0);
    assert_eq!(
        pwritev2(&direct, &block, 0, ReadWriteFlags::DSYNC),
        Err(Errno::IO),
        "a failed sync is a failed write"
    );
}

#[test]
fn a_file_opened_for_durable_writes_is_synced_by_each() {
    let Some(case) = Case::new() else { return };
    case.create("file");
    for (step, direct) in [OFlags::empty(), OFlags::DIRECT].into_iter().enumerate() {
        let file = File::options()
            .write(true)
            .custom_flags((OFlags::DSYNC | direct).bits() as i32)
            .open(case.mounted.path().join("file"))
            .unwrap();
        let (block, at) = block(step as u8);
        file.write_all_at(&block[at], 4096 * step as u64).unwrap();
        let each = step as u64 + 1;
        assert_eq!(case.mounted.arrivals(), arrived(each, 0, each), "{direct:?}");
        assert_eq!(case.durable("file").len(), 4096 * (step + 1));
    }
}

/// Java's `MappedByteBuffer` and `force` are the same two calls to the kernel; here it is Python that maps, because it is at hand.
#[test]
fn mapped_pages_are_durable_after_msync_and_not_before() {
    let Some(case) = Case::new() else { return };
    case.create("file").set_len(8192).unwrap();
    let script = "
import mmap, sys
file = open(sys.argv[1], 'r+b')
pages = mmap.mmap(file.fileno(), 8192)
pages[10:18] = b'unsynced'
print('written', flush=True)
sys.stdin.readline()
try:
    pages.flush()
    print('flushed')
except OSError as error:
    print(error)
";
    let run = |before_flush: &mut dyn FnMut()| -> Option<String> {
        let mut python = Command::new("python3")
            .args(["-c", script])
            .arg(case.mounted.path().join("file"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = [0; 8];
        std::io::Read::read_exact(python.stdout.as_mut().unwrap(), &mut said).unwrap();
        before_flush();
        python.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let output = python.wait_with_output().unwrap();
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let said = run(&mut || assert_eq!(case.durable("file")[10..18], [0; 8]));
    let Some(said) = said else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: python3 does not run");
        return;
    };
    assert_eq!(said, "flushed");
    assert_eq!(&case.durable("file")[10..18], b"unsynced");
    assert_eq!(case.mounted.arrivals(), arrived(1, 1, 1));

    fs::write(case.backing.path().join("other"), "").unwrap();
    let said = run(&mut || case.mounted.fail_sync("file", 0)).unwrap();
    assert!(said.contains("Input/output error"), "{said}");
}

#[test]
fn a_sync_fails_once_and_what_it_should_have_kept_is_gone_with_the_power() {
    let Some(mut case) = Case::new() else { return };
    let (mut log, other) = (case.create("log"), case.create("other"));
    let same = File::options()
        .write(true)
        .open(case.mounted.path().join("log"))
        .unwrap();
    case.mounted.fail_sync("log", 1);
    log.write_all(b"first ").unwrap();
    log.sync_data().unwrap();
    log.write_all(b"second ").unwrap();
    other.write_all_at(b"other", 0).unwrap();
    other.sync_data().unwrap();
    let failed = log.sync_data().unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(Errno::IO.raw_os_error()));
    assert_eq!(case.mounted.failed_syncs().len(), 1);
    assert_eq!(case.mounted.failed_syncs()[0].path, Path::new("log"));
    // As on Linux: each descriptor is told once; then a sync succeeds, and has nothing to write.
    same.sync_data().unwrap_err();
    same.sync_data().unwrap();
    log.sync_data().unwrap();
    assert_eq!(case.seen("log"), b"first second ");
    drop((log, same, other));
    case.mounted.power_cut().unwrap();
    assert_eq!(case.seen("log")[..6], *b"first ");
    assert!(!case.seen("log").ends_with(b"second "));
    assert_eq!(case.seen("other"), b"other");
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let Some(mut case) = Case::new() else { return };
    let file = case.create("file");
    file.write_all_at(&[1; 10_000], 0).unwrap();
    file.sync_all().unwrap();
    file.write_all_at(&[2; 5000], 8000).unwrap();
    fs::create_dir(case.mounted.path().join("folder")).unwrap();
    fs::rename(
        case.mounted.path().join("file"),
        case.mounted.path().join("folder/moved"),
    )
    .unwrap();
    assert_eq!(case.seen("folder/moved").len(), 13_000);
    drop(file);
    case.mounted.power_cut().unwrap();
    assert_eq!(case.seen("folder/moved"), [1; 10_000]);
    assert!(!case.mounted.path().join("file").exists());
}

#[test]
fn a_removed_file_lives_on_while_it_is_open() {
    let Some(case) = Case::new() else { return };
    let file = case.create("file");
    fs::remove_file(case.mounted.path().join("file")).unwrap();
    file.write_all_at(b"still here", 0).unwrap();
    file.sync_all().unwrap();
    let mut found = [0; 10];
    file.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"still here");
    assert_eq!(file.metadata().unwrap().len(), 10);
    case.create("file");
    assert_eq!(case.seen("file"), b"");
}
