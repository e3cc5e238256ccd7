use std::path::PathBuf;

use bytes::Bytes;

use super::*;
use crate::disk::{AlignedBuf, BLOCK_SIZE_BYTES};

const DIR: &str = "/store/log";

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn group(fill: u8, blocks: usize) -> AlignedBuf {
    let mut group = AlignedBuf::with_capacity(blocks * BLOCK_SIZE_BYTES);
    group.extend_from_slice(&vec![fill; blocks * BLOCK_SIZE_BYTES]);
    group
}

fn write_group(
    writer: &mut dyn GroupWriter,
    file: &Arc<dyn DiskFile>,
    position: u64,
    fill: u8,
) -> io::Result<()> {
    writer.start(file, position, group(fill, 1));
    writer.finish().1
}

#[test]
fn opens_by_mode() {
    let disk = disk();
    let error = disk.open(&path("a"), OpenMode::ReadWrite).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_at(b"hello", 3).unwrap();
    let error = disk.open(&path("a"), OpenMode::CreateNew).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    let error = disk
        .open(Path::new("/elsewhere/a"), OpenMode::CreateNew)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);

    let read_only = disk.open(&path("a"), OpenMode::Read).unwrap();
    let mut into = [0; 8];
    read_only.read_at(&mut into, 0).unwrap();
    assert_eq!(&into, b"\0\0\0hello");
    assert_eq!(
        read_only.read_at(&mut into, 1).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    assert!(read_only.write_at(b"x", 0).is_err());
    assert_eq!(
        disk.list(Path::new(DIR)).unwrap(),
        [Listed {
            name: "a".into(),
            size_bytes: 8
        }]
    );
    assert_eq!(
        disk.list(Path::new("/elsewhere")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}

#[test]
fn what_is_synced_survives_and_the_rest_may() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_at(&[1; 600], 0).unwrap();
    file.sync().unwrap();
    assert!(
        disk.after_power_cut(Survivors::None).content(&path("a")).is_err(),
        "the name was not synced"
    );
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_at(&[2; 600], 600).unwrap();

    assert_eq!(
        disk.after_power_cut(Survivors::None).content(&path("a")).unwrap(),
        [1; 600]
    );
    let all = disk.after_power_cut(Survivors::All).content(&path("a")).unwrap();
    assert_eq!(all, disk.content(&path("a")).unwrap());
    assert_eq!(all, disk.after_kill().content(&path("a")).unwrap());
    let sizes: std::collections::BTreeSet<_> = (0..64)
        .map(|seed| {
            disk.after_power_cut(Survivors::Random(seed))
                .content(&path("a"))
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(sizes, [600, 1024, 1200].into());
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_at(&[1; 64 * 512], 0).unwrap();
    let content = |seed| {
        disk.after_power_cut(Survivors::Random(seed))
            .content(&path("a"))
            .unwrap()
    };
    assert_eq!(content(1), content(1));
    assert_ne!(content(1), content(2));
}

#[test]
fn after_a_kill_unsynced_bytes_can_still_be_lost_or_synced() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_at(&[1; 512], 0).unwrap();
    let next = disk.after_kill();
    assert!(
        next.after_power_cut(Survivors::None)
            .content(&path("a"))
            .unwrap()
            .is_empty()
    );
    next.open(&path("a"), OpenMode::ReadWrite)
        .unwrap()
        .sync()
        .unwrap();
    assert_eq!(
        next.after_power_cut(Survivors::None).content(&path("a")).unwrap(),
        [1; 512]
    );
}

#[test]
fn groups_are_durable_when_they_finish_or_only_there() {
    for (durability, survives) in [(Durability::Durable, true), (Durability::Relaxed, false)] {
        let disk = disk();
        let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        let mut writer = disk.group_writer(durability).unwrap();
        writer.start(&file, 4096, group(7, 1));
        assert_eq!(file.size_bytes().unwrap(), 0, "in flight");
        let (buf, result) = writer.finish();
        result.unwrap();
        assert_eq!(buf.as_slice(), [7; 4096]);
        assert_eq!(disk.content(&path("a")).unwrap()[4096..], [7; 4096]);
        let cut = disk.after_power_cut(Survivors::None).content(&path("a")).unwrap();
        assert_eq!(cut.len() == 8192, survives);
        assert!(writer.finish().1.is_err(), "nothing is in flight any more");
    }
}

#[test]
fn a_crash_stops_everything_and_tears_what_was_going_on() {
    let tears = [(Tear::None, 0), (Tear::Prefix(3), 3), (Tear::All, 8)];
    for (tear, sectors) in tears {
        let disk = disk();
        let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        let mut writer = disk.group_writer(Durability::Durable).unwrap();
        disk.crash_at(disk.operations() + 1, tear);
        write_group(writer.as_mut(), &file, 0, 1).unwrap();
        write_group(writer.as_mut(), &file, 0, 2).unwrap_err();
        assert!(disk.crashed());
        write_group(writer.as_mut(), &file, 0, 3).unwrap_err();
        file.read_at(&mut [0], 0).unwrap_err();
        file.sync().unwrap_err();
        disk.list(Path::new(DIR)).unwrap_err();
        disk.open(&path("b"), OpenMode::CreateNew).unwrap_err();

        let next = disk.after_power_cut(Survivors::None);
        let content = next.content(&path("a")).unwrap();
        assert_eq!(content[..sectors * 512], vec![2; sectors * 512]);
        assert_eq!(content[sectors * 512..], vec![1; 4096 - sectors * 512]);
        let file = next.open(&path("a"), OpenMode::ReadWrite).unwrap();
        file.write_at(b"goes on", 0).unwrap();
    }
}

#[test]
fn a_crash_within_a_rename_leaves_one_name() {
    for (tear, name) in [(Tear::None, "a"), (Tear::All, "b")] {
        let disk = disk();
        disk.open(&path("a"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.crash_at(disk.operations(), tear);
        disk.rename(&path("a"), &path("b")).unwrap_err();
        for next in [disk.after_kill(), disk.after_power_cut(Survivors::All)] {
            let names: Vec<_> = next
                .list(Path::new(DIR))
                .unwrap()
                .into_iter()
                .map(|file| file.name)
                .collect();
            assert_eq!(names, [name]);
        }
    }
}

#[test]
fn one_failure_is_one_failure() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    disk.fail_at(disk.operations(), Errno::IO, Tear::Prefix(1));
    let error = file.write_at(&[1; 1024], 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
    assert_eq!(disk.content(&path("a")).unwrap(), [1; 512]);
    file.write_at(&[1; 1024], 0).unwrap();

    disk.fail_from(Some((disk.operations() + 1, Errno::NOSPC)));
    file.write_at(&[2; 1], 0).unwrap();
    file.write_at(&[2; 1], 0).unwrap_err();
    file.sync().unwrap_err();
    disk.fail_from(None);
    file.sync().unwrap();
}

#[test]
fn a_failed_sync_drops_what_it_should_have_kept() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_at(&[1; 512], 0).unwrap();
    disk.fail_sync_once_dropping(disk.operations());
    file.sync().unwrap_err();
    file.sync().unwrap();
    assert_eq!(disk.content(&path("a")).unwrap(), [1; 512]);
    assert!(disk.durable_content(&path("a")).unwrap().is_empty());
    assert!(
        disk.after_power_cut(Survivors::All)
            .content(&path("a"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_full_disk_refuses_to_grow_and_takes_rewrites() {
    let disk = disk();
    disk.set_capacity_bytes(8192);
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_at(&[1; 4096], 0).unwrap();
    assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), 4096);
    let error = file.write_at(&[1; 4097], 4096).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size_bytes().unwrap(), 4096);
    let mut writer = disk.group_writer(Durability::Durable).unwrap();
    assert_eq!(
        write_group(writer.as_mut(), &file, 8192, 1).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    write_group(writer.as_mut(), &file, 4096, 1).unwrap();
    file.write_at(&[2; 8192], 0).unwrap();
    disk.set_capacity_bytes(1 << 20);
    write_group(writer.as_mut(), &file, 8192, 1).unwrap();
    disk.remove(&path("a")).unwrap();
    assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), 1 << 20);
}

#[test]
fn flipped_bits_and_spoilt_sectors_are_found_by_readers() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_at(&[0; 2048], 0).unwrap();
    let before = file.map(2048).unwrap();
    disk.flip_bit(&path("a"), 1000, 3).unwrap();
    assert_eq!(before[1000], 0);
    let map = file.map(2048).unwrap();
    assert_eq!(map[1000], 8);
    assert!(file.map(2049).is_err());

    disk.spoil(&path("a"), 512, 512).unwrap();
    file.read_at(&mut [0; 512], 0).unwrap();
    file.read_at(&mut [0; 513], 0).unwrap_err();
    file.populate(&map.slice(0..512)).unwrap();
    file.populate(&map.slice(1023..1024)).unwrap_err();
    file.populate(&map.slice(1024..)).unwrap();
    file.populate(&Bytes::new()).unwrap();
    file.populate(&Bytes::from_static(b"not of this file"))
        .unwrap_err();
}

#[test]
fn operations_are_numbered_and_named() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_at(&[1; 10], 5).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.rename(&path("a"), &path("b")).unwrap();
    write_group(
        disk.group_writer(Durability::Durable).unwrap().as_mut(),
        &file,
        0,
        1,
    )
    .unwrap();
    disk.list(Path::new(DIR)).unwrap();
    disk.remove(&path("b")).unwrap();
    let dir = PathBuf::from(DIR);
    let expected = [
        Op::CreateDir { dir: dir.clone() },
        Op::Create { path: path("a") },
        Op::Write {
            path: path("a"),
            position: 5,
            size_bytes: 10,
        },
        Op::Sync { path: path("a") },
        Op::SyncDir { dir },
        Op::Rename {
            from: path("a"),
            to: path("b"),
        },
        Op::Group {
            path: path("b"),
            position: 0,
            size_bytes: 4096,
        },
        Op::Remove { path: path("b") },
    ];
    assert_eq!(disk.trace(), expected);
    assert_eq!(disk.operations(), expected.len() as u64);
}

#[test]
fn an_unlinked_file_lives_on_in_its_handles() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_at(b"still", 0).unwrap();
    disk.remove(&path("a")).unwrap();
    let mut into = [0; 5];
    file.read_at(&mut into, 0).unwrap();
    assert_eq!(&into, b"still");
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(disk.state.lock().files.len(), 1);
    drop(file);
    assert_eq!(disk.state.lock().files.len(), 0);
}
