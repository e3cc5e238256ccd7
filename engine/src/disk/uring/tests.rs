use super::*;
use crate::disk::{Disk, OpenMode, StdDisk, WriterKind};

const BLOCK: usize = BLOCK_SIZE_BYTES;

fn dir() -> tempfile::TempDir {
    let beside_the_tests = std::env::current_exe().unwrap();
    tempfile::tempdir_in(beside_the_tests.parent().unwrap()).unwrap()
}

fn file(dir: &tempfile::TempDir) -> Arc<dyn DiskFile> {
    let disk = StdDisk::new(dir.path(), WriterKind::Auto);
    disk.open(&dir.path().join("a"), OpenMode::CreateNew).unwrap()
}

fn flight(file: &Arc<dyn DiskFile>, blocks: usize, written: usize) -> Flight {
    let mut group = AlignedBuf::with_capacity(blocks * BLOCK);
    group.extend_from_slice(&vec![6; blocks * BLOCK]);
    Flight {
        file: Arc::clone(file),
        position: 0,
        group,
        written,
        attempts: 0,
        outcome: None,
    }
}

/// `None` where the kernel, or what it runs in, has no io_uring for us; there is nothing to test then.
fn writer(dir: &tempfile::TempDir) -> Option<UringWriter> {
    UringWriter::new(dir.path()).ok()
}

#[test]
fn a_short_write_goes_on_at_a_block() {
    let dir = dir();
    let mut flight = flight(&file(&dir), 3, 0);
    assert!(flight.completed((BLOCK + 512) as i32));
    assert_eq!(flight.written, BLOCK);
    assert!(flight.completed(BLOCK as i32));
    assert!(!flight.completed(BLOCK as i32));
    assert!(flight.outcome.unwrap().is_ok());
}

#[test]
fn a_write_that_makes_no_progress_is_a_failure() {
    let dir = dir();
    for count in [0, 512] {
        let mut flight = flight(&file(&dir), 1, 0);
        assert!(!flight.completed(count));
        assert_eq!(
            flight.outcome.unwrap().unwrap_err().kind(),
            io::ErrorKind::WriteZero
        );
        std::fs::remove_file(dir.path().join("a")).unwrap();
    }
}

#[test]
fn interrupted_writes_are_tried_again_but_not_for_ever() {
    let dir = dir();
    let mut flight = flight(&file(&dir), 1, 0);
    for errno in [Errno::INTR, Errno::AGAIN] {
        assert!(flight.completed(-errno.raw_os_error()));
    }
    while flight.completed(-Errno::AGAIN.raw_os_error()) {}
    assert_eq!(flight.attempts, ATTEMPTS_MAX);
    let error = flight.outcome.unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::AGAIN.raw_os_error()));
}

#[test]
fn other_errors_are_final() {
    let dir = dir();
    for errno in [Errno::IO, Errno::NOSPC, Errno::CANCELED] {
        let mut flight = flight(&file(&dir), 1, 0);
        assert!(!flight.completed(-errno.raw_os_error()));
        let error = flight.outcome.unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        std::fs::remove_file(dir.path().join("a")).unwrap();
    }
}

#[test]
fn only_what_is_left_is_submitted() {
    let dir = dir();
    let Some(mut writer) = writer(&dir) else { return };
    let file = file(&dir);
    writer.flight = Some(flight(&file, 4, 2 * BLOCK));
    writer.submit();
    writer.finish().1.unwrap();
    let mut found = vec![0; 4 * BLOCK];
    file.read_at(&mut found, 0).unwrap();
    assert!(found[..2 * BLOCK].iter().all(|byte| *byte == 0));
    assert!(found[2 * BLOCK..].iter().all(|byte| *byte == 6));
}

#[test]
fn a_broken_ring_answers_with_errors_and_keeps_no_buffer() {
    let dir = dir();
    let Some(mut writer) = writer(&dir) else { return };
    writer.ring = None;
    let file = file(&dir);
    let group = flight(&file, 1, 0).group;
    let at = group.as_slice().as_ptr();
    writer.start(&file, 0, group);
    let (group, result) = writer.finish();
    result.unwrap_err();
    assert_eq!(group.as_slice().as_ptr(), at);
}

#[test]
fn an_empty_group_is_written_at_once() {
    let dir = dir();
    let Some(mut writer) = writer(&dir) else { return };
    writer.start(&file(&dir), 0, AlignedBuf::with_capacity(0));
    let (group, result) = writer.finish();
    result.unwrap();
    assert!(group.is_empty());
}

#[test]
fn a_file_of_another_disk_is_written_through_its_own_handle() {
    let dir = dir();
    let Some(mut writer) = writer(&dir) else { return };
    let disk = crate::disk::sim::SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    let file = disk.open(Path::new("/d/a"), OpenMode::CreateNew).unwrap();
    writer.start(&file, 0, flight(&file, 1, 0).group);
    writer.finish().1.unwrap();
    assert_eq!(disk.content(Path::new("/d/a")).unwrap(), [6; BLOCK]);
}

#[test]
fn starting_twice_loses_an_outcome_and_no_memory() {
    let dir = dir();
    let Some(mut writer) = writer(&dir) else { return };
    let file = file(&dir);
    writer.start(&file, 0, flight(&file, 4, 0).group);
    writer.start(&file, (4 * BLOCK) as u64, flight(&file, 1, 0).group);
    writer.finish().1.unwrap();
    assert_eq!(file.size_bytes().unwrap(), (5 * BLOCK) as u64);
    assert!(writer.finish().1.is_err());
}
