use super::*;
use crate::state::Fields;

const KEY: GroupQueueKey<'_> = GroupQueueKey {
    group: "g",
    topic: "t",
    queue_id: 0,
};
const LIMITS: OutLimits = OutLimits {
    of_queue: 4,
    of_all: 6,
};

fn delivery(offset: u64, pop_ms: i64, due_ms: i64) -> Delivery {
    Delivery {
        offset,
        pop_ms,
        due_ms,
    }
}

fn overdue(table: &DeliveryTable, now_ms: i64) -> Vec<u64> {
    let due = table.take_due(now_ms, 8);
    due.overdue.iter().map(|one| one.delivery.offset).collect()
}

#[test]
fn one_pops_a_queue_at_a_time_and_so_much_is_out() {
    let table = DeliveryTable::default();
    assert_eq!(table.begin(KEY, 1, 0, LIMITS), Begun::Ours { out: vec![] });
    assert_eq!(table.begin(KEY, 2, 0, LIMITS), Begun::Busy);
    assert!(!table.release(KEY, 2), "not its to give back");
    assert!(table.apply_popped(KEY, 5, 15, 0..3));
    assert!(table.release(KEY, 1), "the other is told");
    assert_eq!(table.begin(KEY, 2, 1, LIMITS), Begun::Ours { out: vec![1, 2] });
    assert!(!table.apply_popped(KEY, 6, 16, 3..4));
    table.release(KEY, 2);
    assert_eq!(table.begin(KEY, 3, 0, LIMITS), Begun::Full);
    let other = GroupQueueKey { queue_id: 1, ..KEY };
    table.apply_popped(other, 6, 16, 0..2);
    let third = GroupQueueKey { queue_id: 2, ..KEY };
    assert_eq!(table.begin(third, 3, 0, LIMITS), Begun::Full);
    assert_eq!(
        (table.out(None), table.out(Some(KEY)), table.out(Some(third))),
        (6, 4, 0)
    );
}

#[test]
fn an_acknowledgement_on_its_way_keeps_the_message_from_being_delivered_again() {
    let table = DeliveryTable::default();
    table.apply_popped(KEY, 5, 15, 0..2);
    let (first, second) = (delivery(0, 5, 15), delivery(1, 5, 15));
    assert!(!table.mark_ack(KEY, delivery(0, 4, 15)) && !table.mark_ack(KEY, delivery(2, 5, 15)));
    assert!(table.mark_ack(KEY, first) && table.mark_ack(KEY, first));
    assert!(!table.mark_change(KEY, first));
    assert_eq!(overdue(&table, 15), [1]);
    assert!(!table.mark_ack(KEY, second), "too late");
    table.unmark(KEY, first);
    assert!(overdue(&table, 20).is_empty(), "another one is on its way");
    table.unmark(KEY, first);
    assert_eq!(overdue(&table, 20), [0]);
    table.unmark(KEY, second);
    assert!(table.mark_ack(KEY, second));
    table.apply_ended(KEY, 1, 5);
    table.unmark(KEY, second);
    table.apply_ended(KEY, 0, 5);
    assert_eq!((table.out(None), table.next_due_ms()), (0, None));
    assert!(table.0.lock().by_name.is_empty(), "nothing is left of it");
    assert_eq!(table.0.lock().redelivering, 0);
}

#[test]
fn a_new_time_makes_it_another_delivery() {
    let table = DeliveryTable::default();
    table.apply_popped(KEY, 5, 15, 0..1);
    assert!(table.mark_change(KEY, delivery(0, 5, 15)));
    assert!(!table.mark_ack(KEY, delivery(0, 5, 15)));
    assert!(overdue(&table, 100).is_empty());
    table.apply_changed(KEY, 5, delivery(0, 7, 57));
    assert!(!table.mark_ack(KEY, delivery(0, 5, 15)));
    assert_eq!(table.next_due_ms(), Some(57));
    assert!(table.mark_ack(KEY, delivery(0, 7, 57)));
}

#[test]
fn what_goes_with_its_topic_or_group_is_never_due() {
    let table = DeliveryTable::default();
    table.apply_popped(KEY, 5, 15, 0..3);
    table.apply_popped(GroupQueueKey { topic: "u", ..KEY }, 5, 15, 0..2);
    table.apply_popped(GroupQueueKey { group: "h", ..KEY }, 5, 15, 0..1);
    table.take_due(15, 1);
    table.remove_topic("t");
    assert_eq!(table.out(None), 2);
    table.remove_group("g");
    assert_eq!((table.out(None), overdue(&table, 100).len()), (0, 0));
}

#[test]
fn a_checkpoint_keeps_what_is_out_and_nothing_that_is_on_its_way() {
    let table = DeliveryTable::default();
    table.apply_popped(KEY, 5, 15, 0..3);
    table.mark_ack(KEY, delivery(1, 5, 15));
    table.take_due(15, 1);
    let restored = DeliveryTable::default();
    let bytes = table.encode().finish();
    assert_eq!(restored.restore(&mut Fields::new(&bytes)), Some(()));
    assert_eq!(overdue(&restored, 15), [0, 1, 2]);
}
