package cases;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A producer and a push consumer that go on while somebody kills and restarts the broker. The folder in
 * {@code CASE_SIGNALS} is how the two hear of each other: here {@code progress} grows by a byte for every 50 messages
 * received, and the file {@code enough} ends the sending.
 */
final class Surviving {
    private Surviving() {}

    static void register(Map<String, Case> cases) {
        cases.put("survive-kills", Surviving::surviveKills);
    }

    private static Object surviveKills(Run run) throws Exception {
        Path signals = Path.of(System.getenv("CASE_SIGNALS"));
        String topic = run.name("survive");
        String group = run.name("g_survive");
        DefaultMQProducer producer = run.unstartedProducer();
        producer.setSendMsgTimeout(1_000);
        run.start(producer);
        run.topic(producer, topic, 4);
        Set<String> received = ConcurrentHashMap.newKeySet();
        AtomicInteger deliveries = new AtomicInteger();
        DefaultMQPushConsumer consumer = Consuming.listening(run, group, topic, "*", message -> {
            received.add(Sending.text(message));
            if (deliveries.incrementAndGet() % 50 == 0) {
                grow(signals.resolve("progress"));
            }
        });
        // After a failed pull the client waits; its usual 3 s, twice per kill, would be most of this case.
        consumer.setPullTimeDelayMillsWhenException(200);
        run.start(consumer);

        int acknowledged = 0;
        int failures = 0;
        while (!Files.exists(signals.resolve("enough"))) {
            String body = "survive " + acknowledged;
            while (true) {
                try {
                    if (producer.send(Sending.message(topic, body)).getSendStatus() == SendStatus.SEND_OK) {
                        break;
                    }
                } catch (InterruptedException stopped) {
                    throw stopped;
                } catch (Exception failure) {
                    failures++;
                    Thread.sleep(5);
                }
            }
            acknowledged++;
        }
        int wanted = acknowledged;
        Run.await(() -> "all received: " + received.size() + " of " + wanted, () -> received.size() >= wanted);
        for (int i = 0; i < wanted; i++) {
            Check.that(received.contains("survive " + i), "lost: " + i);
        }
        consumer.shutdown();
        long end = 0;
        for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
            end += producer.maxOffset(queue);
        }
        long all = end;
        Run.await(() -> "stored offsets, now " + Offsets.stored(producer, group, topic) + " of " + all,
                () -> Offsets.stored(producer, group, topic) == all);
        return Json.object("messages", wanted, "failedSends", failures, "stored", all,
                "repeated", deliveries.get() - received.size());
    }

    private static void grow(Path file) {
        try {
            Files.write(file, new byte[] {'.'}, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
