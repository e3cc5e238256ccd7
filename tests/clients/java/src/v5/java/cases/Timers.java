package cases;

import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages for a time: never early, each once, and those that are recalled not at all. The 4.9 client has none of it. */
final class Timers {
    private Timers() {}

    static void register(Map<String, Case> cases) {
        cases.put("timers", Timers::timers);
        cases.put("recall", Timers::recall);
    }

    /** Receives a topic, and says when. */
    private record Arrivals(Map<String, MessageExt> messages, Map<String, Long> whenMs) {
        static Arrivals of(Run run, String topic, String group) throws Exception {
            Arrivals arrivals = new Arrivals(new ConcurrentHashMap<>(), new ConcurrentHashMap<>());
            DefaultMQPushConsumer consumer = Consuming.listening(run, run.name(group), topic, "*", message -> {
                String body = Sending.text(message);
                arrivals.whenMs.put(body, System.currentTimeMillis());
                if (arrivals.messages.put(body, message) != null) {
                    throw new IllegalStateException(body + " came twice");
                }
            });
            run.start(consumer);
            return arrivals;
        }
    }

    private static Message message(String topic, String body) {
        return new Message(topic, "tag", "key " + body, Sending.bytes(body));
    }

    private static Object timers(Run run) throws Exception {
        String topic = run.name("timers");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 3);
        Arrivals arrivals = Arrivals.of(run, topic, "g_timers");

        // Not before these.
        Map<String, Long> notBefore = new TreeMap<>();
        Map<String, Long> notAfter = new TreeMap<>();
        for (int i = 0; i < 30; i++) {
            String body = "timer " + i;
            Message message = message(topic, body);
            long beforeMs = System.currentTimeMillis();
            long delayMs;
            switch (i % 4) {
                case 0 -> {
                    delayMs = 700 + 37 * i;
                    message.setDelayTimeMs(delayMs);
                }
                case 1 -> {
                    delayMs = 1_000 * (1 + i % 3);
                    message.setDelayTimeSec(delayMs / 1_000);
                }
                case 2 -> {
                    delayMs = 900 + 41 * i;
                    message.setDeliverTimeMs(beforeMs + delayMs);
                }
                default -> {
                    // A time that is over.
                    delayMs = 0;
                    message.setDeliverTimeMs(beforeMs - 10_000);
                }
            }
            SendResult sent = producer.send(message);
            notBefore.put(body, beforeMs + delayMs);
            notAfter.put(body, System.currentTimeMillis() + delayMs);
            Check.equal(delayMs > 0, sent.getRecallHandle() != null, "whether " + body + " can be recalled");
        }
        Run.awaitSize("timers", arrivals.messages.keySet(), notBefore.size());
        long latestMs = 0;
        for (String body : notBefore.keySet()) {
            MessageExt message = arrivals.messages.get(body);
            long storedMs = message.getStoreTimestamp();
            Check.that(storedMs >= notBefore.get(body), body + " was stored " + (notBefore.get(body) - storedMs) + " ms early");
            Check.that(arrivals.whenMs.get(body) >= notBefore.get(body), body + " came early");
            latestMs = Math.max(latestMs, storedMs - notAfter.get(body));
            Check.equal(topic, message.getTopic(), "topic");
            Check.equal("key " + body, message.getKeys(), "key");
        }
        // Clocks of the same machine; the bar is that of a broker with a million timers, this one shares it with others.
        Check.that(latestMs < 2_000, "the latest was " + latestMs + " ms late");

        MQBrokerException far = Check.thrown(MQBrokerException.class, "a time too far away", () -> {
            Message message = message(topic, "far");
            message.setDeliverTimeMs(System.currentTimeMillis() + 100L * 365 * 24 * 3_600_000);
            producer.send(message);
        });
        Check.equal(13, far.getResponseCode(), "code of a time too far away");
        return Json.object("timers", notBefore.size(), "latest_ms", latestMs);
    }

    private static Object recall(Run run) throws Exception {
        String topic = run.name("recall");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Arrivals arrivals = Arrivals.of(run, topic, "g_recall");
        // At one time, so that the handle has to tell them apart.
        long dueMs = System.currentTimeMillis() + 4_000;
        Map<String, SendResult> sends = new TreeMap<>();
        for (int i = 0; i < 40; i++) {
            Message message = message(topic, "recall " + i);
            message.setDeliverTimeMs(dueMs);
            sends.put("recall " + i, producer.send(message));
        }
        TreeSet<String> stay = new TreeSet<>();
        for (Map.Entry<String, SendResult> entry : sends.entrySet()) {
            if (entry.getKey().endsWith("5") || entry.getKey().endsWith("0")) {
                SendResult sent = entry.getValue();
                Check.equal(sent.getMsgId(), producer.recallMessage(topic, sent.getRecallHandle()), "id of what was recalled");
            } else {
                stay.add(entry.getKey());
            }
        }
        String again = sends.get("recall 10").getRecallHandle();
        MQBrokerException twice = Check.thrown(MQBrokerException.class, "a second recall",
                () -> producer.recallMessage(topic, again));
        Check.equal(604, twice.getResponseCode(), "code of a second recall");

        Run.awaitSize("those that were not recalled", arrivals.messages.keySet(), stay.size());
        Check.equal(stay, new TreeSet<>(arrivals.messages.keySet()), "what came");
        MQBrokerException late = Check.thrown(MQBrokerException.class, "a recall of what was delivered",
                () -> producer.recallMessage(topic, sends.get("recall 1").getRecallHandle()));
        Check.equal(604, late.getResponseCode(), "code of a late recall");
        Check.equal(stay.size(), Log.read(run, topic, stay.size()).size(), "messages in the log");
        return Json.object("recalled", sends.size() - stay.size(), "delivered", stay.size());
    }
}
