//! All segments of a log, oldest first.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Segment;

/// The segments that readers can reach. Shared by the writer, which adds, and all readers.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    segments: RwLock<Vec<Arc<Segment>>>,
}

impl SegmentSet {
    /// A set of segments in the order of their starts.
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        debug_assert!(
            segments.is_sorted_by_key(|segment| segment.start),
            "segments come in the log's order"
        );
        Self {
            segments: RwLock::new(segments),
        }
    }

    /// Adds the segment that follows all others.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.segments.write().push(segment);
    }

    /// The segment that holds `position`, if any begins at or before it.
    pub(crate) fn find(&self, position: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.start <= position);
        segments.get(after.checked_sub(1)?).map(Arc::clone)
    }

    /// The segment that begins at `start`.
    pub(crate) fn starting_at(&self, start: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let at = segments
            .binary_search_by_key(&start, |segment| segment.start)
            .ok()?;
        segments.get(at).map(Arc::clone)
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }

    /// Takes out the oldest segment, if it begins at `start` and is not the only one. Readers that have it go on reading it.
    pub(crate) fn remove_first(&self, start: u64) {
        let mut segments = self.segments.write();
        if segments.len() > 1 && segments.first().is_some_and(|segment| segment.start == start) {
            segments.remove(0);
        }
    }

    /// The first position that a segment holds.
    pub(crate) fn first_position(&self) -> u64 {
        self.segments.read().first().map_or(0, |segment| segment.start)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.segments.read().len()
    }
}
