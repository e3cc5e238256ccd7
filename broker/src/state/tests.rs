use std::collections::BTreeMap;

use kourou_engine::record::{RecordView, state};
use proptest::prelude::*;

use super::*;
use crate::options::BrokerOptions;

fn fresh() -> State {
    let options = BrokerOptions::new(std::net::SocketAddr::from(([127, 0, 0, 1], 10911)));
    State::new(&options)
}

fn apply(view: &State, kind: u16, payload: &[u8]) {
    let record = state(kind, payload, 5);
    let mut bytes = vec![0; record.size_bytes() as usize];
    record.write_into(&mut bytes, 0, 0, 5);
    view.apply(&RecordView::parse(&bytes).unwrap());
}

fn apply_change(view: &State, change: &Change<'_>) {
    let (kind, payload) = change.encode();
    apply(view, kind, &payload);
}

/// All that a view holds, comparable.
fn content(view: &State) -> String {
    let (topics, version) = view.topics.all();
    let (groups, groups_version) = view.groups.all();
    let mut offsets: Vec<String> = Vec::new();
    for group in &groups {
        for topic in view.offsets.topics_of(&group.name) {
            let found: Vec<_> = (0..4)
                .map(|queue_id| view.offsets.get(&group.name, &topic, queue_id))
                .collect();
            offsets.push(format!("{}@{topic}: {found:?}", group.name));
        }
    }
    offsets.sort();
    let floors = ["", "a", "b", "c"].map(|topic| view.floors.get(QueueKey { topic, queue_id: 1 }));
    format!(
        "{topics:?} {floors:?} {version:?} {groups:?} {groups_version:?} {offsets:?} {:?}",
        view.timers.next_due_ms()
    )
}

#[derive(Debug, Clone)]
enum Step {
    Topic(String, bool, u32),
    NoTopic(String),
    Group(String, bool, i32),
    NoGroup(String, bool),
    Offsets(Vec<(String, String, u32, i64)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // One letter and nothing: the smallest names that could ever be there.
    let name = || "[a-c]?";
    let step = prop_oneof![
        (name(), any::<bool>(), any::<u32>())
            .prop_map(|(name, absent, queues)| Step::Topic(name, absent, queues)),
        name().prop_map(Step::NoTopic),
        (name(), any::<bool>(), any::<i32>())
            .prop_map(|(name, absent, times)| Step::Group(name, absent, times)),
        (name(), any::<bool>()).prop_map(|(name, offsets)| Step::NoGroup(name, offsets)),
        proptest::collection::vec((name(), name(), 0_u32..4, any::<u32>().prop_map(i64::from)), 0..4)
            .prop_map(Step::Offsets),
    ];
    proptest::collection::vec(step, 0..20)
}

fn run(view: &State, step: &Step) {
    match step {
        Step::Topic(name, only_if_absent, queues) => {
            let attributes = BTreeMap::from([("message.type".to_owned(), "FIFO".to_owned())]);
            let config = TopicConfig {
                attributes,
                ..TopicConfig::new(name.as_str(), *queues)
            };
            apply_change(
                view,
                &Change::TopicPut {
                    only_if_absent: *only_if_absent,
                    config: &config,
                },
            );
        }
        Step::NoTopic(topic) => apply_change(
            view,
            &Change::TopicDelete {
                topic,
                queue_ends: &[(1, 7)],
            },
        ),
        Step::Group(name, only_if_absent, times) => {
            let config = GroupConfig {
                retry_times_max: *times,
                ..GroupConfig::new(name.as_str())
            };
            apply_change(
                view,
                &Change::GroupPut {
                    only_if_absent: *only_if_absent,
                    config: &config,
                },
            );
        }
        Step::NoGroup(group, with_offsets) => {
            apply_change(
                view,
                &Change::GroupDelete {
                    group,
                    with_offsets: *with_offsets,
                },
            );
        }
        Step::Offsets(all) => {
            let mut out = OffsetsWriter::new();
            for (group, topic, queue_id, offset) in all {
                out.push(group, topic, *queue_id, *offset);
            }
            apply(view, OffsetsWriter::KIND, &out.finish());
        }
    }
}

proptest! {
    /// A checkpoint anywhere in a history, and the rest of the history after it, give what the whole history gives.
    #[test]
    fn a_checkpoint_stands_for_what_came_before(steps in steps(), at in 0_usize..20) {
        let whole = fresh();
        steps.iter().for_each(|step| run(&whole, step));
        let (before, after) = steps.split_at(at.min(steps.len()));
        let first = fresh();
        before.iter().for_each(|step| run(&first, step));
        let second = fresh();
        prop_assert_eq!(second.restore(&first.checkpoint()), Ok(()));
        after.iter().for_each(|step| run(&second, step));
        prop_assert_eq!(content(&second), content(&whole));
    }

    /// Bytes that are not a checkpoint, or not a change, are refused without a panic.
    #[test]
    fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u16..10) {
        let view = fresh();
        prop_assert!(view.restore(&bytes).is_err());
        apply(&view, kind, &bytes);
        let mut close = fresh().checkpoint();
        let at = close.len().min(bytes.len());
        close.splice(close.len() - at.., bytes);
        let _ = view.restore(&close);
    }
}

#[test]
fn a_state_of_another_version_is_named() {
    let mut bytes = fresh().checkpoint();
    bytes[4] = 9;
    assert_eq!(
        fresh().restore(&bytes),
        Err("it has version Some(9), this program reads 1 to 3".to_owned())
    );
    assert_eq!(
        fresh().restore(b"else"),
        Err("it is not a broker's state".to_owned())
    );
}

#[test]
fn checkpoints_of_earlier_versions_are_read() {
    for (version, sections) in [(1, 6), (2, 7)] {
        let mut old = Writer::new();
        old.u32(CHECKPOINT_MAGIC);
        old.u16(version);
        let before = fresh();
        run(&before, &Step::Group("g".to_owned(), false, 7));
        for section in SECTIONS.iter().take(sections) {
            old.section((section.encode)(&before));
        }
        let view = fresh();
        assert_eq!(view.restore(&old.finish()), Ok(()));
        assert_eq!(content(&view), content(&before));
    }
}

#[test]
fn a_section_that_is_not_known_is_refused() {
    let mut out = Writer::new();
    out.u32(CHECKPOINT_MAGIC);
    out.u16(CHECKPOINT_VERSION);
    out.u16(999);
    out.section(Writer::new());
    assert_eq!(
        fresh().restore(&out.finish()),
        Err("it has a section Some(999), which this program does not know".to_owned())
    );
}

#[test]
fn tags_are_unique() {
    let tags: std::collections::BTreeSet<u16> = SECTIONS.iter().map(|section| section.tag).collect();
    assert_eq!(tags.len(), SECTIONS.len());
}
