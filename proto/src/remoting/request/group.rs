//! Consumer group settings.

use crate::remoting::fields::header_fields;

header_fields! {
    /// GET_SUBSCRIPTIONGROUP_CONFIG (352), QUERY_TOPICS_BY_CONSUMER (343).
    pub struct GroupHeader<'a> {
        /// The group.
        group: &'a str => "group",
    }
}

header_fields! {
    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201). All absent asks for everything at once.
    pub struct GetAllGroupConfigHeader<'a> {
        /// First group of the page, counted from 0.
        group_seq: Option<i32> => "groupSeq",
        /// The data version of the first page, as JSON.
        data_version: Option<&'a str> => "dataVersion",
        /// Most groups in the page.
        max_group_num: Option<i32> => "maxGroupNum",
    }
}

header_fields! {
    /// DELETE_SUBSCRIPTIONGROUP (207).
    pub struct DeleteGroupHeader<'a> {
        /// The group.
        group_name: &'a str => "groupName",
        /// Whether its offsets go too.
        clean_offset: bool => "cleanOffset" or false,
    }
}
