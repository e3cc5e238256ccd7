//! Times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `3 s ago`; `-` for never.
pub(super) fn ago(then_ms: i64, now_ms: i64) -> String {
    if then_ms <= 0 {
        return "-".to_owned();
    }
    let seconds = now_ms.saturating_sub(then_ms).max(0) / 1000;
    let (number, unit) = match seconds {
        0 => return "now".to_owned(),
        1..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "min"),
        7200..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_says_something() {
        let now = 1_000_000_000_000;
        let says = |seconds: i64| ago(now - seconds * 1000, now);
        assert_eq!(
            [0, 1, 119, 120, 7199, 7200, 172_800].map(says),
            [
                "now",
                "1 s ago",
                "119 s ago",
                "2 min ago",
                "119 min ago",
                "2 h ago",
                "2 days ago"
            ]
        );
        assert_eq!(ago(0, now), "-");
        assert_eq!(ago(now + 5000, now), "now");
    }
}
