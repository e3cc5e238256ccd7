package cases;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.producer.Producer;

/** As {@link Surviving}, by gRPC: a producer and a push consumer that go on while somebody kills and restarts the broker. */
final class GrpcSurviving {
    private GrpcSurviving() {}

    static void register(Map<String, Case> cases) {
        cases.put("grpc-survive-kills", GrpcSurviving::surviveKills);
        cases.put("grpc-lite-survive-kills", GrpcSurviving::liteSurvivesKills);
    }

    private static Object surviveKills(Run run) throws Exception {
        Path signals = Path.of(System.getenv("CASE_SIGNALS"));
        String topic = run.name("grpc_survive");
        Shapes.topic(run, run.producer(), topic, 4, "message.type", "NORMAL");
        Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
        AtomicInteger deliveries = new AtomicInteger();
        GrpcConsuming.push(run, GrpcConsuming.group(run, "g_survive", false, 16), topic, view -> {
            attempts.computeIfAbsent(GrpcConsuming.text(view), first -> Collections.synchronizedList(new ArrayList<>()))
                    .add(view.getDeliveryAttempt());
            if (deliveries.incrementAndGet() % 50 == 0) {
                grow(signals.resolve("progress"));
            }
            return ConsumeResult.SUCCESS;
        });
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        int acknowledged = 0;
        int failures = 0;
        while (!Files.exists(signals.resolve("enough"))) {
            try {
                producer.send(GrpcProducing.plain(topic).setBody(Sending.bytes("survive " + acknowledged)).build());
                acknowledged++;
            } catch (Exception failure) {
                failures++;
                Thread.sleep(5);
            }
        }
        int wanted = acknowledged;
        // What was out when the broker was killed comes again when its minute is over.
        Run.await(() -> "all received: " + attempts.size() + " of " + wanted, () -> attempts.size() >= wanted);
        int repeated = 0;
        for (int i = 0; i < wanted; i++) {
            List<Integer> all = attempts.get("survive " + i);
            Check.that(all != null, "lost: " + i);
            repeated += all.size() - 1;
        }
        return Json.object("messages", wanted, "failedSends", failures, "repeated", repeated);
    }

    /** Of each lite topic everything comes, and nothing new before what was sent before it. */
    private static Object liteSurvivesKills(Run run) throws Exception {
        Path signals = Path.of(System.getenv("CASE_SIGNALS"));
        String topic = GrpcLite.topic(run, "lite_survive");
        String group = GrpcLite.group(run, "g_lite_survive", topic, 16, Map.of());
        List<String> lites = List.of("l0", "l1", "l2", "l3", "l4");
        GrpcLite.Received received = new GrpcLite.Received();
        AtomicInteger deliveries = new AtomicInteger();
        LitePushConsumer consumer = GrpcLite.start(run, group, topic, view -> {
            received.note(view);
            if (deliveries.incrementAndGet() % 50 == 0) {
                grow(signals.resolve("progress"));
            }
            return ConsumeResult.SUCCESS;
        });
        for (String lite : lites) {
            consumer.subscribeLite(lite);
        }
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        Map<String, List<String>> acknowledged = new ConcurrentHashMap<>();
        int sends = 0;
        int failures = 0;
        while (!Files.exists(signals.resolve("enough"))) {
            String lite = lites.get(sends % lites.size());
            try {
                GrpcLite.send(producer, topic, lite, sends, 1);
                acknowledged.computeIfAbsent(lite, first -> new ArrayList<>()).add(lite + " " + sends);
            } catch (Exception failure) {
                failures++;
                Thread.sleep(5);
            }
            sends++;
        }
        int repeated = 0;
        int wanted = 0;
        for (Map.Entry<String, List<String>> one : acknowledged.entrySet()) {
            String lite = one.getKey();
            // What was out when the broker was killed comes again when its minute is over.
            Run.await(() -> "all of " + lite + ": " + received.of(lite).size() + " of " + one.getValue().size(),
                    () -> received.of(lite).containsAll(one.getValue()));
            List<String> firsts = received.of(lite).stream().distinct().toList();
            // Some were stored although their sender did not hear so.
            List<String> known = firsts.stream().filter(one.getValue()::contains).toList();
            Check.equal(one.getValue(), known, "order of " + lite);
            repeated += received.of(lite).size() - firsts.size();
            wanted += one.getValue().size();
        }
        return Json.object("messages", wanted, "failedSends", failures, "repeated", repeated);
    }

    private static void grow(Path file) {
        try {
            Files.write(file, new byte[] {'.'}, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
