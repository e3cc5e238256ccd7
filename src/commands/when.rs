//! Times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How long `90s`, `15m`, `2h` or `3d` is.
pub(super) fn age_ms(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    (number >= 0).then(|| number.checked_mul(seconds * 1000))?
}

/// A time in UTC: `2026-08-01`, `2026-08-01T12:00` or `2026-08-01T12:00:30`, with or without a `Z`.
pub(super) fn utc_ms(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let numbers = |text: &str, separator| -> Option<Vec<i64>> {
        text.split(separator)
            .map(|part| {
                part.chars()
                    .all(|digit| digit.is_ascii_digit())
                    .then(|| part.parse().ok())?
            })
            .collect()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let &[year, month, day] = date.as_slice() else {
        return None;
    };
    let (hour, minute, second) = match *time.as_slice() {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    // Years that begin in March end with the day that may be missing.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    in_range.then_some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
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
    fn ages_and_times() {
        assert_eq!(
            ["90s", "15m", "2h", "3d", "0s"].map(age_ms),
            [90, 900, 7200, 259_200, 0].map(|s| Some(s * 1000))
        );
        assert_eq!(
            ["", "s", "-1s", "1w", "9223372036854775807d"].map(age_ms),
            [None; 5]
        );
        assert_eq!(utc_ms("1970-01-01"), Some(0));
        assert_eq!(utc_ms("2024-02-29T23:59:59Z"), Some(1_709_251_199_000));
        assert_eq!(utc_ms("2000-03-01 00:00"), Some(951_868_800_000));
        for nonsense in [
            "",
            "2024-00-01",
            "2024-01-01T24:00",
            "2024-01",
            "24:00",
            "+2024-01-01",
            "2024-01-01T1",
        ] {
            assert_eq!(utc_ms(nonsense), None, "{nonsense}");
        }
    }

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
