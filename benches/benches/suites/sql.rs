//! The filter by SQL92: messages a second that one core decides on, over properties as they are stored. The limit is a copy of
//! the same properties: all of them are looked through, for the last of a name counts.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::suite;
use kourou_broker::filter::SqlFilter;

const MESSAGES: usize = 1024;

/// What a Java producer's message has once it is stored, with `a` from 0 to 9 and `b` of four values.
fn properties(at: usize) -> Vec<u8> {
    let (a, b) = (at % 10, ["x", "y", "z", "other"][at / 10 % 4]);
    let pairs = [
        ("KEYS", format!("order-{at}")),
        ("a", a.to_string()),
        ("UNIQ_KEY", format!("7F0000011A2B18B4AAC2{at:012X}")),
        ("b", b.to_owned()),
        ("WAIT", "true".to_owned()),
        ("TAGS", "TagA".to_owned()),
        ("CLUSTER", "DefaultCluster".to_owned()),
        ("MSG_REGION", "DefaultRegion".to_owned()),
        ("TRACE_ON", "true".to_owned()),
    ];
    let pairs = pairs.map(|(name, value)| format!("{name}\x01{value}\x02"));
    pairs.concat().into_bytes()
}

pub(crate) fn evaluations(criterion: &mut Criterion) {
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(properties).collect();
    let mut group = criterion.benchmark_group("filter/sql");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (expression, wanted) in [
        ("a > 5 AND b IN ('x','y')", 0.2),
        (
            "(TAGS IS NOT NULL AND TAGS <> 'TagB') AND (a BETWEEN 0.5 AND 9 OR KEYS CONTAINS '99')",
            0.9,
        ),
    ] {
        let filter = SqlFilter::parse(expression).expect("an expression");
        let count = || messages.iter().filter(|message| filter.matches(message)).count();
        let share = count() as f64 / MESSAGES as f64;
        assert!((share - wanted).abs() < 0.02, "{share} of {expression}");
        group.bench_function(BenchmarkId::new("matches", expression), |bencher| {
            bencher.iter(|| {
                black_box(
                    black_box(&messages)
                        .iter()
                        .filter(|message| filter.matches(message))
                        .count(),
                )
            });
        });
        let mut copy = messages.clone();
        group.bench_function(
            BenchmarkId::new(format!("{}copy of the properties", suite::LIMIT), expression),
            |bencher| {
                bencher.iter(|| {
                    for (to, from) in copy.iter_mut().zip(black_box(&messages)) {
                        to.copy_from_slice(from);
                    }
                    black_box(&copy);
                });
            },
        );
    }
    group.finish();
}
