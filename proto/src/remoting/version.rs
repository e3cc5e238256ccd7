//! Protocol versions: the ordinals of upstream's version enumeration, carried in every header.

/// First version that can be told to reset its offsets, and asked how far it is.
pub const V3_0_7_SNAPSHOT: i32 = 28;
/// First version whose registration body wraps the topic table.
pub const V3_0_11: i32 = 37;
/// First version that tells what it is doing, and consumes a message when asked.
pub const V3_1_8_SNAPSHOT: i32 = 62;
/// First version whose send-back limit of retries is honoured.
pub const V3_4_9: i32 = 121;
/// Version below which clients refuse to subscribe with SQL filters.
pub const V4_1_0_SNAPSHOT: i32 = 232;
/// Last version that adds its unique-key marker after signing.
pub const V4_9_3: i32 = 399;
/// First version that reads a route in standard JSON.
pub const V4_9_4: i32 = 401;
/// First version whose compressed registration carries queue mappings.
pub const V5_0_0: i32 = 413;
/// Last version that is never told to go away.
pub const V5_3_1: i32 = 475;
/// 5.3.3
pub const V5_3_3: i32 = 479;
/// 5.4.0
pub const V5_4_0: i32 = 493;

/// The version in every header that we make. Clients gate features by it.
pub const CURRENT: i32 = V5_3_3;
