//! 'Did you mean': the known name that a mistyped one is closest to.

/// The candidate within a third of the name's length in edits, the closest first.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(name);
    candidates
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and word separators are the commonest mistakes and cost nothing.
fn fold(name: &str) -> Vec<u8> {
    name.bytes()
        .filter(|byte| !matches!(byte, b'-' | b'_'))
        .map(|byte| byte.to_ascii_lowercase())
        .collect()
}

/// Levenshtein, one row at a time.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (j, b) in right.iter().enumerate() {
            let above = row[j + 1];
            let cost = (diagonal + usize::from(a != b)).min(above + 1).min(previous + 1);
            row[j] = previous;
            diagonal = above;
            previous = cost;
        }
        row[right.len()] = previous;
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        let cases: [(&[u8], &[u8], usize); 5] = [
            (b"", b"", 0),
            (b"abc", b"", 3),
            (b"", b"ab", 2),
            (b"kitten", b"sitting", 3),
            (b"flush", b"flash", 1),
        ];
        for (left, right, edits) in cases {
            assert_eq!(distance(left, right), edits);
        }
    }

    #[test]
    fn the_closest_name_is_offered_and_a_stranger_is_not() {
        let names = ["broker-port", "broker-name", "flush"];
        let of = |name| nearest(name, names.into_iter());
        assert_eq!(of("brokerPort"), Some("broker-port"));
        assert_eq!(of("broker_prot"), Some("broker-port"));
        assert_eq!(of("flsh"), Some("flush"));
        assert_eq!(of("replicas"), None);
    }
}
