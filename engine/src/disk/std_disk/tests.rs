use super::*;

const BLOCK: u64 = BLOCK_SIZE_BYTES as u64;

/// A folder on the volume that the build is on: the temporary folder may be in memory, where O_DIRECT does not work.
fn dir() -> tempfile::TempDir {
    let beside_the_tests = std::env::current_exe().unwrap();
    tempfile::tempdir_in(beside_the_tests.parent().unwrap()).unwrap()
}

/// Every kind of writer that works in `dir`.
fn writers(dir: &Path) -> Vec<Box<dyn GroupWriter>> {
    let mut writers: Vec<Box<dyn GroupWriter>> = vec![
        Box::new(BlockingWriter::new(Route::Synced, None)),
        StdDisk::new(dir, WriterKind::Auto)
            .group_writer(Durability::Durable)
            .unwrap(),
        StdDisk::new(dir, WriterKind::Auto)
            .group_writer(Durability::Relaxed)
            .unwrap(),
    ];
    writers.extend(StdDisk::new(dir, WriterKind::Uring).group_writer(Durability::Durable));
    writers
}

fn group(fill: u8, blocks: usize) -> AlignedBuf {
    let mut group = AlignedBuf::with_capacity(blocks * BLOCK_SIZE_BYTES);
    group.extend_from_slice(&vec![fill; blocks * BLOCK_SIZE_BYTES]);
    group
}

fn disk(dir: &tempfile::TempDir) -> StdDisk {
    StdDisk::new(dir.path(), WriterKind::Auto)
}

#[test]
fn every_writer_writes_the_same() {
    let dir = dir();
    let mut contents = Vec::new();
    for (at, mut writer) in writers(dir.path()).into_iter().enumerate() {
        let file = disk(&dir)
            .open(&dir.path().join(at.to_string()), OpenMode::CreateNew)
            .unwrap();
        // Beyond the end, over what is there, and adjacent; small and large.
        for (fill, position, blocks) in [(1, 0, 4), (2, 1, 1), (3, 4, 300), (4, 400, 2), (5, 0, 1)] {
            writer.start(&file, position * BLOCK, group(fill, blocks));
            let (buf, result) = writer.finish();
            result.unwrap();
            assert_eq!(buf.as_slice(), group(fill, blocks).as_slice());
        }
        let mut content = vec![0; usize::try_from(file.size_bytes().unwrap()).unwrap()];
        file.read_at(&mut content, 0).unwrap();
        contents.push((writer.describe(), content));
    }
    for (writer, content) in &contents {
        assert_eq!(content.len(), 402 * BLOCK_SIZE_BYTES, "{writer}");
        assert!(*content == contents[0].1, "{writer}");
    }
}

#[test]
fn a_writer_that_is_dropped_waits_for_its_write() {
    let dir = dir();
    for (at, mut writer) in writers(dir.path()).into_iter().enumerate() {
        let file = disk(&dir)
            .open(&dir.path().join(at.to_string()), OpenMode::CreateNew)
            .unwrap();
        writer.start(&file, 0, group(9, 256));
        let describe = writer.describe();
        drop(writer);
        let mut content = vec![0; 256 * BLOCK_SIZE_BYTES];
        file.read_at(&mut content, 0).unwrap();
        assert!(content.iter().all(|byte| *byte == 9), "{describe}");
    }
}

#[test]
fn a_writer_may_change_threads_between_start_and_finish() {
    let dir = dir();
    for (at, mut writer) in writers(dir.path()).into_iter().enumerate() {
        let file = disk(&dir)
            .open(&dir.path().join(at.to_string()), OpenMode::CreateNew)
            .unwrap();
        for round in 0..20 {
            std::thread::scope(|scope| {
                scope.spawn(|| writer.start(&file, 0, group(round, 16)));
            });
            let (buf, result) = writer.finish();
            result.unwrap();
            assert_eq!(buf.as_slice(), group(round, 16).as_slice());
        }
    }
}

#[test]
fn errors_come_back_with_the_buffer() {
    let dir = dir();
    fs::write(dir.path().join("a"), b"").unwrap();
    for mut writer in writers(dir.path()) {
        let file = disk(&dir).open(&dir.path().join("a"), OpenMode::Read).unwrap();
        writer.start(&file, u64::MAX / 2 / BLOCK * BLOCK, group(1, 1));
        let (buf, result) = writer.finish();
        assert!(result.is_err(), "{}", writer.describe());
        assert_eq!(buf.len(), BLOCK_SIZE_BYTES);
        let (_, result) = writer.finish();
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn writers_say_what_they_are() {
    let dir = dir();
    let describe = |kind, durability| {
        StdDisk::new(dir.path(), kind)
            .group_writer(durability)
            .unwrap()
            .describe()
    };
    assert_eq!(
        describe(WriterKind::Auto, Durability::Relaxed),
        "pwrite, not synced"
    );
    assert_eq!(
        describe(WriterKind::Auto, Durability::Durable),
        "pwrite, O_DIRECT + DSYNC"
    );
    if let Ok(writer) = StdDisk::new(dir.path(), WriterKind::Uring).group_writer(Durability::Durable) {
        assert_eq!(writer.describe(), "io_uring, O_DIRECT + DSYNC");
    }
    assert!(disk(&dir).list(dir.path()).unwrap().is_empty(), "probes are gone");
}

#[test]
fn without_o_direct_the_fallback_says_why() {
    let missing = Path::new("/no/such/folder");
    let writer = StdDisk::new(missing, WriterKind::Auto)
        .group_writer(Durability::Durable)
        .unwrap();
    assert!(
        writer.describe().starts_with("pwrite + fdatasync (O_DIRECT: "),
        "{}",
        writer.describe()
    );
    StdDisk::new(missing, WriterKind::Uring)
        .group_writer(Durability::Durable)
        .unwrap_err();
}

#[test]
fn the_second_descriptor_follows_a_rename() {
    let dir = dir();
    let disk = disk(&dir);
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let file = disk.open(&a, OpenMode::CreateNew).unwrap();
    disk.rename(&a, &b).unwrap();
    disk.open(&a, OpenMode::CreateNew).unwrap();
    let mut writer = disk.group_writer(Durability::Durable).unwrap();
    writer.start(&file, 0, group(1, 1));
    writer.finish().1.unwrap();
    assert_eq!(fs::metadata(&a).unwrap().len(), 0);
    assert_eq!(fs::read(&b).unwrap(), [1; BLOCK_SIZE_BYTES]);
}

#[test]
fn opens_by_mode_and_lists() {
    let dir = dir();
    let disk = disk(&dir);
    let nested = dir.path().join("x/y");
    assert_eq!(disk.list(&nested).unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.create_dir_all(&nested).unwrap();
    disk.create_dir_all(&nested).unwrap();
    let path = nested.join("a");
    assert_eq!(
        disk.open(&path, OpenMode::ReadWrite).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    assert_eq!(
        disk.open(&path, OpenMode::CreateNew).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    file.write_at(b"hello", 3).unwrap();
    file.sync().unwrap();
    disk.sync_dir(&nested).unwrap();
    let read_only = disk.open(&path, OpenMode::Read).unwrap();
    assert!(read_only.write_at(b"x", 0).is_err());
    let mut into = [0; 8];
    read_only.read_at(&mut into, 0).unwrap();
    assert_eq!(&into, b"\0\0\0hello");
    assert_eq!(
        read_only.read_at(&mut into, 1).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );

    disk.create_dir_all(&nested.join("folder")).unwrap();
    disk.rename(&path, &nested.join("b")).unwrap();
    assert_eq!(
        disk.list(&nested).unwrap(),
        [Listed {
            name: "b".into(),
            size_bytes: 8
        }]
    );
    let map = read_only.map(8).unwrap();
    read_only.populate(&map.slice(2..)).unwrap();
    disk.remove(&nested.join("b")).unwrap();
    assert!(disk.list(&nested).unwrap().is_empty());
    assert_eq!(&map[..], b"\0\0\0hello");
    assert!(disk.free_bytes(&nested).unwrap() > 0);
}

#[test]
fn zeros_go_where_they_should_and_nowhere_else() {
    let beside_the_tests = dir();
    // In memory, where some kernels cannot write past a page cache.
    let in_memory = tempfile::tempdir_in("/dev/shm");
    for dir in std::iter::once(beside_the_tests).chain(in_memory) {
        let file = disk(&dir)
            .open(&dir.path().join("a"), OpenMode::CreateNew)
            .unwrap();
        file.write_at(&[7; 3 * BLOCK_SIZE_BYTES], 0).unwrap();
        file.write_zeros(BLOCK, BLOCK).unwrap();
        file.write_zeros(4 * BLOCK, 300 * BLOCK).unwrap();
        file.sync().unwrap();
        let mut content = vec![1; 304 * BLOCK_SIZE_BYTES];
        file.read_at(&mut content, 0).unwrap();
        assert_eq!(file.size_bytes().unwrap(), 304 * BLOCK);
        for (at, block) in content.chunks(BLOCK_SIZE_BYTES).enumerate() {
            let expected = if at == 0 || at == 2 { 7 } else { 0 };
            assert!(block.iter().all(|byte| *byte == expected), "block {at}");
        }
    }
}
