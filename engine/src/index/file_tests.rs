use super::*;
use crate::index::QueueIndex;

fn slot(position: u64) -> Slot {
    Slot::new(position, position as i64 * 2, 100, -7)
}

fn sample() -> Arc<Frozen> {
    let index = QueueIndex::default();
    for (topic, queue_id, base, count) in [("beta", 0, 5, 1000), ("alpha", 7, 10, 1), ("alpha", 0, 0, 3)] {
        let queue = index.expect(key(topic, queue_id)).queue;
        index.begin_at(queue, base);
        index.publish_slots((0..count).map(|at| (queue, slot(base * 1000 + at))));
    }
    let frozen = index.freeze(4096, 9000);
    index.order(&frozen);
    frozen
}

fn key(topic: &str, queue_id: u32) -> QueueKey<'_> {
    QueueKey { topic, queue_id }
}

#[test]
fn what_is_written_is_found() {
    let index = Sealed::parse(encode(&sample()).into(), None).unwrap();
    assert_eq!((index.segment_start(), index.data_end()), (4096, 9000));
    assert_eq!(
        index.queues().collect::<Vec<_>>(),
        [("alpha", 0, 0, 3), ("alpha", 7, 10, 11), ("beta", 0, 5, 1005)]
    );
    assert!(index.find(key("alpha", 1)).is_none());
    assert!(index.find(key("gamma", 0)).is_none());
    let found = index.find(key("beta", 0)).unwrap();
    assert_eq!((found.base(), found.end()), (5, 1005));
    let mut out = Vec::new();
    found.copy(4, 10, &mut out).unwrap();
    found.copy(1005, 10, &mut out).unwrap();
    found.copy(1003, 10, &mut out).unwrap();
    assert_eq!(out, [slot(5998).at(1003), slot(5999).at(1004)]);
}

/// Every single flipped bit of a small file is found: at the open, or when the run that it hit is first used.
#[test]
fn every_flipped_bit_is_found() {
    let clean = encode(&sample());
    for bit in 0..clean.len() * 8 {
        let mut bytes = clean.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(index) = Sealed::parse(bytes.into(), None) else {
            continue;
        };
        let mut out = Vec::new();
        let outcomes = [("alpha", 0, 0), ("alpha", 7, 10), ("beta", 0, 5)].map(|(topic, queue_id, from)| {
            index
                .find(key(topic, queue_id))
                .unwrap()
                .copy(from, usize::MAX, &mut out)
        });
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_err()).count(),
            1,
            "bit {bit}"
        );
    }
}

#[test]
fn a_cut_file_is_refused() {
    let clean = encode(&sample());
    for size in [0, 1, 63, 64, 100, clean.len() - 1] {
        assert!(
            Sealed::parse(Bytes::copy_from_slice(&clean[..size]), None).is_err(),
            "{size} bytes"
        );
    }
}
