//! A disk that rots: it is noticed although nobody reads, and whoever reads is in nobody's way.

use kourou_broker::receive::{PullOutcome, PullStatus};

use crate::deliveries::{bodies as bodies_of, pop};
use crate::rig::{Got, Rig, pull, text, views};

const SEGMENT: u64 = 64 << 10;
const RATE: u64 = 16 << 10;

/// Scrubs 16 KiB a second; a few segments of messages, and what is read comes from the disk.
fn filled() -> Rig {
    let rig = Rig::with(|options, engine| {
        engine.segment_size_bytes = SEGMENT;
        engine.tail_cache_size_bytes = SEGMENT;
        options.scrub_bytes_per_s = RATE;
        options.pass_over_damage = true;
    });
    for number in 0..60 {
        rig.put("orders", &format!("{number}-{}", "x".repeat(4_000)));
    }
    assert!(rig.broker.engine().segment_count() >= 4);
    rig
}

/// Flips a bit of the message at an offset of the queue. Returns its position.
fn spoil(rig: &Rig, offset: u64) -> u64 {
    let mut entries = Vec::new();
    rig.broker.engine().entries("orders", 0, offset, 1, &mut entries);
    let position = entries[0].position;
    let file = format!("/store/log/{:020}", position - position % SEGMENT);
    rig.disk
        .flip_bit(file.as_ref(), position % SEGMENT + 1_000, 2)
        .unwrap();
    position
}

/// One second of a broker that nobody uses.
fn second(rig: &Rig) {
    rig.clock.advance(1_000);
    rig.broker.tick();
    rig.pump();
}

#[test]
fn a_flipped_bit_that_nobody_reads_is_found_in_the_time_that_the_rate_says() {
    let rig = filled();
    let position = spoil(&rig, 30);
    assert!(position > SEGMENT, "not in the first segment");
    let limit_s = position / RATE + 2;
    let mut seconds = 0;
    while rig.broker.engine().damage().is_empty() {
        second(&rig);
        seconds += 1;
        assert!(seconds <= limit_s, "not found after {seconds} seconds");
    }
    assert!(
        seconds + 2 >= position / RATE,
        "it is not read faster than that: {seconds}"
    );
    let damage = rig.broker.engine().damage();
    assert_eq!((damage.len(), damage[0].position), (1, position));

    // The next round begins a day after this one has.
    for _ in 0..60 {
        second(&rig);
    }
    let another = spoil(&rig, 20);
    for _ in 0..60 {
        second(&rig);
    }
    assert_eq!(rig.broker.engine().damage().len(), 1, "a day has not passed");
    rig.clock.advance(24 * 3_600_000);
    for _ in 0..60 {
        second(&rig);
    }
    assert_eq!(rig.broker.engine().damage()[0].position, another);
}

#[test]
fn nothing_is_scrubbed_unless_it_is_asked_for() {
    let rig = Rig::with(|_, engine| engine.segment_size_bytes = SEGMENT);
    for number in 0..60 {
        rig.put("orders", &format!("{number}-{}", "x".repeat(4_000)));
    }
    spoil(&rig, 1);
    for _ in 0..60 {
        second(&rig);
    }
    assert_eq!(rig.broker.engine().damage(), []);
}

#[test]
fn a_pull_goes_past_a_damaged_message_and_loses_no_other() {
    let rig = filled();
    spoil(&rig, 7);
    spoil(&rig, 8);
    let rig = rig.restart();
    let mut offset = 0;
    let (mut seen, mut passed) = (Vec::new(), 0);
    while offset < 60 {
        match rig.pull(&pull("orders", offset)).unwrap() {
            Got::Cold(cold) => match cold.load().unwrap() {
                PullOutcome::Found(pulled) => {
                    seen.extend(views(&pulled).iter().map(|view| text(view.body())));
                    offset = pulled.place.next_offset as i64;
                }
                PullOutcome::Empty(empty) => {
                    assert!(matches!(empty.status, PullStatus::NoMatchedMessage), "{empty:?}");
                    assert_eq!(empty.place.next_offset as i64, offset + 1);
                    offset += 1;
                    passed += 1;
                }
                other => panic!("{other:?}"),
            },
            Got::Found(pulled) => {
                seen.extend(views(&pulled).iter().map(|view| text(view.body())));
                offset = pulled.place.next_offset as i64;
            }
            Got::Empty(empty) => panic!("{empty:?}"),
        }
    }
    let numbers: Vec<u32> = seen
        .iter()
        .map(|body| body.split('-').next().unwrap().parse().unwrap())
        .collect();
    let expected: Vec<u32> = (0..60).filter(|number| ![7, 8].contains(number)).collect();
    assert_eq!((numbers, passed), (expected, 2));
    assert_eq!(rig.broker.engine().damage().len(), 2, "and it was told");
}

#[test]
fn a_pop_goes_past_a_damaged_message_and_loses_no_other() {
    let rig = filled();
    spoil(&rig, 3);
    let rig = rig.restart();
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..200 {
        let popped = rig.pop(&pop("orders"));
        if popped.is_empty() {
            break;
        }
        seen.extend(bodies_of(&popped).into_iter().map(str::to_owned));
    }
    assert_eq!(seen.len(), 59);
    assert!(!seen.iter().any(|body| body.starts_with("3-")));
    assert_eq!(rig.broker.engine().damage().len(), 1);
}
