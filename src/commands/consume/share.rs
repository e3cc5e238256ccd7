//! Which queues are whose.

/// The share of the member at `index` of `members`, as every client of a group computes it: neighbouring queues,
/// the first members one more where it does not come out even.
pub(super) fn average<T: Clone>(queues: &[T], members: usize, index: usize) -> Vec<T> {
    let (each, over) = (queues.len() / members.max(1), queues.len() % members.max(1));
    let start = index * each + index.min(over);
    let count = each + usize::from(index < over);
    queues.iter().skip(start).take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_one_owner() {
        for queue_count in 0..20_usize {
            let queues: Vec<usize> = (0..queue_count).collect();
            for members in 1..8 {
                let shares: Vec<Vec<usize>> = (0..members)
                    .map(|index| average(&queues, members, index))
                    .collect();
                assert_eq!(shares.concat(), queues);
                let sizes: Vec<usize> = shares.iter().map(Vec::len).collect();
                assert!(sizes.is_sorted_by(|a, b| a >= b && a - b <= 1), "{sizes:?}");
            }
        }
    }
}
