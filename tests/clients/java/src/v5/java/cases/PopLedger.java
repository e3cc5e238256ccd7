package cases;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What poppers heard of each message, and whether it can be true.
 *
 * <p>A message that was acknowledged, and heard so before its time was over, is never there again. One that is there again
 * has waited for its time, and counts one delivery more; where the broker was killed in between, one more for each kill at
 * the most, as the answer of a pop may have gone with it. In the end every message was acknowledged.
 */
final class PopLedger {
    /** One message, handed out once. */
    record Delivery(String body, int times, long popMs, long dueMs, String handle) {}

    private static final class Entry {
        /** How often the message was there before, when it was there last; -1 if it never was. */
        int times = -1;
        /** Kills before that pop, or before the message was sent. */
        long kills;
        /** Until then nobody else gets it. */
        long dueMs;
        boolean isTried;
        boolean isDone;
    }

    private final Map<String, Entry> entries = new ConcurrentHashMap<>();
    private final AtomicLong deliveries = new AtomicLong();
    private final AtomicLong again = new AtomicLong();
    /** Deliveries that were counted and that nobody heard of. */
    private final AtomicLong swallowed = new AtomicLong();
    /** Deliveries that were heard of after a later one. */
    private final AtomicLong late = new AtomicLong();
    private long unsure;

    void sending(String body, long kills) {
        Entry entry = new Entry();
        entry.kills = kills;
        entries.put(body, entry);
    }

    /** Takes a delivery in, from a pop that was asked for after {@code killsBefore}. False if it is an old story. */
    boolean heard(Delivery delivery, long killsBefore, long killsNow) {
        Entry entry = entries.get(delivery.body());
        Check.that(entry != null, "nobody sent " + delivery);
        deliveries.incrementAndGet();
        synchronized (entry) {
            if (delivery.times() < entry.times) {
                late.incrementAndGet();
                return false;
            }
            String before = "; the last was number " + entry.times + ", until " + entry.dueMs;
            Check.that(!entry.isDone, "acknowledged, and there again: " + delivery + before);
            int more = delivery.times() - entry.times;
            Check.that(more > 0, "counted twice, or stored twice: " + delivery + before);
            Check.that(more <= 1 + killsNow - entry.kills,
                    "counted too often, with " + (killsNow - entry.kills) + " kills: " + delivery + before);
            Check.that(delivery.popMs() >= entry.dueMs, "too early: " + delivery + before);
            again.addAndGet(entry.times < 0 ? 0 : 1);
            swallowed.addAndGet(more - 1);
            entry.times = delivery.times();
            entry.kills = killsBefore;
            entry.dueMs = delivery.dueMs();
            return true;
        }
    }

    void changed(Delivery delivery, long dueMs) {
        Entry entry = entries.get(delivery.body());
        synchronized (entry) {
            if (entry.times == delivery.times()) {
                entry.dueMs = dueMs;
            }
        }
    }

    void acknowledging(Delivery delivery) {
        Entry entry = entries.get(delivery.body());
        synchronized (entry) {
            entry.isTried = true;
        }
    }

    /** An acknowledgement was answered in time. Whether it is the first that this message has. */
    boolean done(Delivery delivery) {
        Entry entry = entries.get(delivery.body());
        synchronized (entry) {
            boolean isFirst = !entry.isDone;
            entry.isDone = true;
            return isFirst;
        }
    }

    /** Nothing comes any more. */
    void close() {
        entries.forEach((body, entry) -> {
            synchronized (entry) {
                Check.that(entry.times >= 0, "lost: " + body);
                // Its acknowledgement was answered too late or not at all, but it was in time for the broker.
                Check.that(entry.isDone || entry.isTried, "never came again: " + body);
                unsure += entry.isDone ? 0 : 1;
            }
        });
    }

    Map<String, Object> summary(Object... more) {
        Map<String, Object> summary = Json.object("messages", entries.size(), "deliveries", deliveries.get(),
                "again", again.get(), "swallowed", swallowed.get(), "late", late.get(), "unsure", unsure);
        summary.putAll(Json.object(more));
        return summary;
    }
}
