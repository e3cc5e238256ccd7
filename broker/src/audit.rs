//! What a broker would make of a closed store: whether what groups have consumed fits what there is.

use kourou_engine::OpenError;
use kourou_engine::verify::ClosedStore;

use crate::options::BrokerOptions;
use crate::state::State;
pub use crate::state::state_name;

/// A group that is beyond a queue's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeyondEnd {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The queue of the topic.
    pub queue_id: u32,
    /// Where the group goes on.
    pub offset: u64,
    /// The offset that the queue's next message gets.
    pub end: u64,
}

/// What a look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// Topics, those that every broker has included.
    pub topics: usize,
    /// Consumer groups.
    pub groups: usize,
    /// Committed offsets, one for each group and queue.
    pub offsets: usize,
    /// Those that are higher than their queue's end. Messages up to there would never be delivered to the group.
    pub beyond_end: Vec<BeyondEnd>,
    /// Whether the log could be read to its end; what follows damage is not part of this.
    pub is_whole: bool,
}

/// Derives topics, groups and offsets from a closed store, as an opening broker does, and compares the offsets with the queues. Changes
/// nothing.
///
/// # Errors
/// What the disk says, or if the checkpoint's state is none of a broker's.
pub fn audit(store: &ClosedStore) -> Result<Audited, OpenError> {
    let state = State::new(&BrokerOptions::new(([127, 0, 0, 1], 0).into()));
    let is_whole = store.replay(&state)?;
    let queues = store.summary()?.queues;
    let mut audited = Audited {
        topics: state.topics.all().0.len(),
        groups: state.groups.all().0.len(),
        is_whole,
        ..Audited::default()
    };
    state.offsets.for_each(|group, topic, queue_id, offset| {
        audited.offsets += 1;
        let name = (topic.to_owned(), queue_id);
        let end = queues.get(&name).map_or(0, |range| range.max);
        if let Ok(offset) = u64::try_from(offset)
            && offset > end
        {
            audited.beyond_end.push(BeyondEnd {
                group: group.to_owned(),
                topic: topic.to_owned(),
                queue_id,
                offset,
                end,
            });
        }
    });
    Ok(audited)
}
