//! The filter by tag: index entries looked at, and a whole pull in the broker that finds 32 of 64 messages in memory. The limit is a
//! copy of the entries that it looks at: nothing that reads each of them can be faster by much.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use kourou_benches::requests::{self, GROUP, OTHER_TAG, TAG, TOPIC};
use kourou_benches::{lockstep, suite};
use kourou_broker::Broker;
use kourou_broker::filter::Filter;
use kourou_broker::receive::{InlineSubscription, PullOutcome, PullRequest};
use kourou_engine::IndexEntry;
use kourou_engine::record::tags_code;
use kourou_proto::HeaderCodec;

const ENTRIES: usize = 1024;

pub(crate) fn entries(criterion: &mut Criterion) {
    let entry = |at: usize| IndexEntry {
        spans: false,
        queue_offset: at as u64,
        position: at as u64 * 1200,
        size_bytes: 1200,
        tags_code: tags_code(if at.is_multiple_of(2) { TAG } else { OTHER_TAG }),
        store_ms: 1_700_000_000_000,
    };
    let entries: Vec<IndexEntry> = (0..ENTRIES).map(entry).collect();
    let mut group = criterion.benchmark_group("filter/entries");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    for expression in [TAG, "TagX || TagY || TagZ || TagA"] {
        let filter = Filter::compile("TAG", expression).expect("an expression");
        group.bench_function(BenchmarkId::new("matches", expression), |bencher| {
            bencher.iter(|| {
                let wanted = entries.iter().filter(|entry| filter.may_match(entry.tags_code));
                black_box(wanted.count())
            });
        });
        let mut copy = entries.clone();
        group.bench_function(
            BenchmarkId::new(format!("{}copy of the entries", suite::LIMIT), expression),
            |bencher| {
                bencher.iter(|| {
                    copy.copy_from_slice(black_box(&entries));
                    black_box(&copy);
                });
            },
        );
    }
    group.finish();
}

fn request(expression: &str) -> PullRequest {
    PullRequest {
        group: GROUP.into(),
        topic: TOPIC.into(),
        queue_id: 0,
        offset: 0,
        messages_max: 32,
        commit_offset: None,
        subscription: Some(InlineSubscription {
            expression: expression.into(),
            expression_type: "TAG".into(),
        }),
        sub_version: 0,
    }
}

fn found(broker: &Arc<Broker>, request: &PullRequest) -> usize {
    match broker.pull(request).expect("a pull") {
        PullOutcome::Found(pulled) => pulled.records.len(),
        other => panic!("nothing found: {other:?}"),
    }
}

pub(crate) fn pull(criterion: &mut Criterion) {
    let send = |tag| requests::wire(&requests::send(HeaderCodec::Rocketmq, tag, 0, &[7; 1024]), 1);
    let both = [send(TAG), send(OTHER_TAG)].concat();
    let mut port = lockstep::Lockstep::start(vec![(both, 2)]).expect("a broker");
    for _ in 0..32 {
        port.checked_round().expect("two sends");
    }
    let broker = Arc::clone(port.broker());
    let mut group = criterion.benchmark_group("filter/pull");
    group.throughput(Throughput::Elements(32));
    let (tagged, all) = (request(TAG), request("*"));
    assert_eq!((found(&broker, &tagged), found(&broker, &all)), (32, 32));
    group.bench_function("32 of 64 by tag", |bencher| {
        bencher.iter(|| found(&broker, black_box(&tagged)))
    });
    group.bench_function(format!("{}32 of 32, no filter", suite::LIMIT), |bencher| {
        bencher.iter(|| found(&broker, black_box(&all)));
    });
    group.finish();
}
