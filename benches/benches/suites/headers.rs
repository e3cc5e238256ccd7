//! Headers of both codecs: requests read into typed fields, heads of answers written. The limit is a copy of as many bytes.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use kourou_benches::{paths, suite};

pub(crate) fn headers(criterion: &mut Criterion) {
    for path in paths::all().filter(|path| path.name.starts_with("header/")) {
        let mut group = criterion.benchmark_group(path.name);
        group.throughput(Throughput::Elements(1));
        let mut opened = path.open().expect("a header");
        group.bench_function("typed", |bencher| {
            bencher.iter(|| (opened.round)().expect("a header"))
        });
        let header = vec![7; opened.size_bytes];
        let mut copy = BytesMut::with_capacity(header.len());
        group.bench_function(format!("{}copy of as many bytes", suite::LIMIT), |bencher| {
            bencher.iter(|| {
                copy.clear();
                copy.extend_from_slice(black_box(&header));
                black_box(&copy);
            });
        });
        group.finish();
    }
}
