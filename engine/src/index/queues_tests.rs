use super::*;
use crate::index::file::{Sealed, encode};

const KEY: QueueKey<'static> = QueueKey {
    topic: "orders",
    queue_id: 3,
};

fn slot(position: u64) -> Slot {
    Slot::new(position, position as i64 / 10, 10, 1)
}

/// Ten entries in each of three segments: one in a file, one frozen, one live.
fn sample() -> QueueIndex {
    let index = QueueIndex::default();
    for segment in 0..3u64 {
        let expected = index.expect(KEY);
        assert_eq!(expected.next_offset, segment * 10);
        index.publish_slots((0..10).map(|at| (expected.queue, slot(segment * 1000 + at * 10))));
        if segment < 2 {
            let frozen = index.freeze(segment * 1000, segment * 1000 + 100);
            if segment == 0 {
                index.order(&frozen);
                let sealed = Sealed::open_bytes(encode(&frozen));
                index.replace(SegmentIndex::Sealed(Arc::new(sealed)));
            }
        }
    }
    index
}

fn offsets(index: &QueueIndex, from: u64, max_count: usize) -> Vec<u64> {
    let mut out = Vec::new();
    index.copy(KEY, from, max_count, &mut out).unwrap();
    for entry in &out {
        assert_eq!(
            entry.position,
            entry.queue_offset / 10 * 1000 + entry.queue_offset % 10 * 10
        );
    }
    out.iter().map(|entry| entry.queue_offset).collect()
}

#[test]
fn entries_cross_segments() {
    let index = sample();
    assert_eq!(index.range(KEY), Some(QueueRange { min: 0, max: 30 }));
    assert_eq!(offsets(&index, 0, 100), (0..30).collect::<Vec<_>>());
    assert_eq!(offsets(&index, 8, 4), [8, 9, 10, 11]);
    assert_eq!(offsets(&index, 19, 2), [19, 20]);
    assert_eq!(offsets(&index, 29, 5), [29]);
    assert_eq!(offsets(&index, 30, 5), [0; 0]);
}

#[test]
fn unknown_queues_have_nothing() {
    let index = sample();
    let other = QueueKey {
        topic: "orders",
        queue_id: 4,
    };
    assert_eq!(index.range(other), None);
    assert_eq!(index.offset_by_time(other, 0, Boundary::Lower), Ok(None));
}

#[test]
fn a_queue_can_skip_segments() {
    let index = QueueIndex::default();
    let queue = index.expect(KEY).queue;
    index.publish_slots([(queue, slot(0))]);
    index.freeze(0, 100);
    let other = index
        .expect(QueueKey {
            topic: "else",
            queue_id: 0,
        })
        .queue;
    index.publish_slots([(other, slot(1000))]);
    index.freeze(1000, 1100);
    index.publish_slots([(queue, slot(2000))]);
    let mut out = Vec::new();
    index.copy(KEY, 0, 10, &mut out).unwrap();
    assert_eq!(
        out.iter().map(|entry| entry.position).collect::<Vec<_>>(),
        [0, 2000]
    );
}

#[test]
fn a_moment_points_at_a_record() {
    let index = sample();
    let at = |ms, boundary| index.offset_by_time(KEY, ms, boundary).unwrap().unwrap();
    assert_eq!(at(-5, Boundary::Lower), 0);
    assert_eq!(at(-5, Boundary::Upper), 0);
    assert_eq!(at(3, Boundary::Lower), 3);
    assert_eq!(at(3, Boundary::Upper), 3);
    assert_eq!(at(50, Boundary::Lower), 10);
    assert_eq!(at(50, Boundary::Upper), 9);
    assert_eq!(at(100_000, Boundary::Lower), 30);
    assert_eq!(at(100_000, Boundary::Upper), 29);
}

#[test]
fn a_checkpoint_restores_the_same_index() {
    let index = sample();
    let again = QueueIndex::restored(
        index.records(),
        index.inner.read().segments.clone(),
        &LiveKeys::default(),
        LastKey::default(),
    );
    assert_eq!(offsets(&again, 0, 100), (0..30).collect::<Vec<_>>());
    assert_eq!(again.records(), index.records());
    assert_eq!(again.expect(KEY).next_offset, 30);
}

/// A checkpoint at a segment's beginning can be told while that segment grows, and not once it is left.
#[test]
fn a_checkpoint_at_a_roll_can_be_told_later() {
    let index = sample();
    let other = QueueKey {
        topic: "else",
        queue_id: 0,
    };
    let begun = index.freeze(2000, 2100);
    let then = index.records();
    index.publish_slots([(index.expect(KEY).queue, slot(3000))]);
    // Nobody knew it then.
    index.publish_slots([(index.expect(other).queue, slot(3010))]);
    assert_eq!(index.records_after(&begun), Some(then));
    index.freeze(3000, 3100);
    assert_eq!(index.records_after(&begun), None);
}
