//! What the kinds of state records are called.

use kourou_engine::record::{IMPORTED, QUEUES_BEGIN};

use super::{
    ACKED_IN_ORDER, CHANGED, CHANGED_IN_ORDER, CHECKED, ENDED, GROUP_DELETE, GROUP_PUT, OFFSETS, OFFSETS_SET,
    POPPED, POPPED_IN_ORDER, RECALLED, REQUEST_MODE, RESET_TAKEN, ROLLED_BACK, SUBSCRIBED, TOPIC_DELETE,
    TOPIC_PUT, lite,
};

/// What kind of state record this is, for people: by the record's queue id; `None` if this version knows none.
pub fn state_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        TOPIC_PUT => "topic put",
        TOPIC_DELETE => "topic delete",
        GROUP_PUT => "group put",
        GROUP_DELETE => "group delete",
        OFFSETS => "offsets",
        SUBSCRIBED => "subscriptions",
        ROLLED_BACK => "rolled back",
        CHECKED => "checked",
        RECALLED => "recalled",
        REQUEST_MODE => "request mode",
        OFFSETS_SET => "offsets set",
        RESET_TAKEN => "reset taken",
        other => match u16::try_from(other).ok()? {
            POPPED => "popped",
            ENDED => "ended",
            CHANGED => "changed",
            POPPED_IN_ORDER => "popped in order",
            ACKED_IN_ORDER => "acknowledged in order",
            CHANGED_IN_ORDER => "changed in order",
            lite::ENDED => "lite queue ended",
            lite::SUBSCRIBED => "lite subscriptions",
            QUEUES_BEGIN => "queues begin",
            IMPORTED => "imported",
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: BTreeSet<_> = (0..=u32::from(u16::MAX) + 1).filter_map(state_name).collect();
        let kinds = (0..=u32::from(u16::MAX) + 1).filter(|kind| state_name(*kind).is_some());
        assert_eq!(kinds.count(), names.len());
        assert_eq!(names.len(), 22);
    }
}
