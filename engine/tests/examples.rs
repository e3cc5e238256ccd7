//! The examples, run: what they print is what this page of the documentation promises.

#![allow(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "its main is for people")]
#[path = "../examples/event_store.rs"]
mod event_store;
#[expect(dead_code, reason = "its main is for people")]
#[path = "../examples/follow.rs"]
mod follow;
#[expect(dead_code, reason = "its main is for people")]
#[path = "../examples/work_queue.rs"]
mod work_queue;

#[test]
fn a_follower_sees_everything_in_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let seen = follow::run(dir.path()).unwrap();
    for sensor in 0..2 {
        let of_sensor: Vec<_> = seen
            .iter()
            .filter_map(|line| line.strip_prefix(&format!("sensor {sensor}: reading ")))
            .collect();
        assert_eq!(of_sensor, ["0", "1", "2", "3", "4"]);
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn a_work_queue_loses_no_job_to_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        work_queue::run(dir.path()).unwrap(),
        ["sweep", "wash", "dry", "fold"]
    );
}

#[test]
fn an_event_store_knows_what_was() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        event_store::run(dir.path()).unwrap(),
        [
            "at 9:00 the accounts hold [100, 0]",
            "at 12:00 the accounts hold [70, 280]",
            "at 16:00 the accounts hold [75, 280]",
            "t-3: 30 to account 2",
            "t-3: -30 to account 1",
            "in all: 355",
        ]
    );
}
