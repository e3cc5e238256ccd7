//! The record codec: what a caller's thread pays to encode, what the one writer pays to store, what a reader pays to
//! verify. `crc32fast` over the same bytes stands beside them as the limit: nothing that covers every byte with a
//! checksum can be faster.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, Throughput};
use kourou_benches::suite;
use kourou_engine::record::{EncodedRecord, EncodedRecords, Limits, RecordDraft, RecordView};

const BODY_SIZES_BYTES: [usize; 3] = [128, 1024, 64 * 1024];
const PROPERTIES: &[u8] = b"UNIQ_KEY\x017F00000100002A139A5E2B3C4D5E0001\x02WAIT\x01true\x02TAGS\x01TagA\x02\
    CLUSTER\x01DefaultCluster\x02MSG_REGION\x01DefaultRegion\x02TRACE_ON\x01true\x02";
const POSITION: u64 = 1 << 33;

fn draft(body: &[u8]) -> RecordDraft<'_> {
    RecordDraft {
        born_host: SocketAddr::from(([10, 1, 2, 3], 4567)),
        store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
        properties: PROPERTIES,
        ..RecordDraft::new("TopicTest", 3, body)
    }
}

fn encode(draft: &RecordDraft<'_>) -> EncodedRecord {
    match draft.encode() {
        Ok(record) => record,
        Err(error) => panic!("a draft within all limits: {error}"),
    }
}

pub(crate) fn record(criterion: &mut Criterion) {
    for size in BODY_SIZES_BYTES {
        let body: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let draft = draft(&body);
        let record = encode(&draft);
        let mut stored = vec![0; record.size_bytes() as usize];
        record.write_into(&mut stored, 7, POSITION, 1_700_000_000_000);

        let mut group = criterion.benchmark_group(format!("record/{size}"));
        group.throughput(Throughput::Bytes(record.size_bytes().into()));
        let mut records = EncodedRecords::new();
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                records.clear();
                records.push(black_box(&draft), &Limits::default())
            });
        });
        group.bench_function("write_into", |bencher| {
            let mut out = stored.clone();
            bencher.iter(|| record.write_into(black_box(&mut out), 7, POSITION, 1_700_000_000_000));
        });
        group.bench_function("parse and verify", |bencher| {
            bencher.iter(|| {
                RecordView::parse(black_box(&stored))
                    .and_then(|view| view.verify(POSITION))
                    .is_ok()
            });
        });
        group.bench_function(
            format!("{}crc32fast of the same bytes", suite::LIMIT),
            |bencher| {
                bencher.iter(|| crc32fast::hash(black_box(&stored)));
            },
        );
        group.finish();

        let mut group = criterion.benchmark_group(format!("record/parse/{size}"));
        group.bench_function("parse", |bencher| {
            bencher.iter(|| RecordView::parse(black_box(&stored)).is_ok());
        });
        let mut copy = stored.clone();
        group.bench_function(format!("{}copy of the same bytes", suite::LIMIT), |bencher| {
            bencher.iter(|| {
                copy.copy_from_slice(black_box(&stored));
                black_box(&copy);
            });
        });
        group.finish();
    }
}
