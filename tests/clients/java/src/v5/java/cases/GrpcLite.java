package cases;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.OffsetOption;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.java.exception.LiteSubscriptionQuotaExceededException;
import org.apache.rocketmq.common.message.MessageExt;

/** Lite topics: what is sent to one is received, in order, by who subscribes to it. */
final class GrpcLite {
    private static final ClientServiceProvider GRPC = ClientServiceProvider.loadService();

    private GrpcLite() {}

    static void register(Map<String, Case> cases) {
        cases.put("grpc-lite", GrpcLite::lite);
        cases.put("grpc-lite-dead", GrpcLite::dead);
        cases.put("grpc-lite-exclusive", GrpcLite::exclusive);
        cases.put("grpc-lite-refused", GrpcLite::refused);
    }

    /** What was received of each lite topic, in order. */
    static final class Received {
        final Map<String, List<String>> bodies = new ConcurrentHashMap<>();
        final Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();

        void note(MessageView view) {
            String body = GrpcConsuming.text(view);
            bodies.computeIfAbsent(view.getLiteTopic().orElse("none"), first -> Collections.synchronizedList(new ArrayList<>())).add(body);
            attempts.computeIfAbsent(body, first -> Collections.synchronizedList(new ArrayList<>())).add(view.getDeliveryAttempt());
        }

        ConsumeResult take(MessageView view) {
            note(view);
            return ConsumeResult.SUCCESS;
        }

        List<String> of(String lite) {
            return List.copyOf(bodies.getOrDefault(lite, List.of()));
        }
    }

    /** Those that are subscribed to come, each in its order, and others when they are subscribed to. */
    private static Object lite(Run run) throws Exception {
        String topic = topic(run, "lite");
        String group = group(run, "g_lite", topic, 16, Map.of());
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        send(producer, topic, "before", 0, 5);
        Received received = new Received();
        LitePushConsumer consumer = start(run, group, topic, received::take);
        consumer.subscribeLite("a");
        consumer.subscribeLite("b");
        consumer.subscribeLite("before");
        Check.equal(Set.of("a", "b", "before"), consumer.getLiteTopicSet(), "what is subscribed to");
        for (int i = 0; i < 40; i++) {
            send(producer, topic, List.of("a", "b", "other").get(i % 3), i, 1);
        }
        int[] of = {0, 0, 0};
        IntStream.range(0, 40).forEach(i -> of[i % 3]++);
        Run.await(() -> "a, b and what was there before: " + received.bodies, () ->
                received.of("a").size() == of[0] && received.of("b").size() == of[1] && received.of("before").size() == 5);
        for (int at = 0; at < 2; at++) {
            String lite = List.of("a", "b").get(at);
            int first = at;
            List<String> wanted = IntStream.range(0, of[at]).mapToObj(i -> lite + " " + (first + 3 * i)).toList();
            Check.equal(wanted, received.of(lite), "order of " + lite);
        }
        Check.equal(List.of("before 0", "before 1", "before 2", "before 3", "before 4"), received.of("before"), "what was there");
        Check.equal(List.of(), received.of("other"), "what is not subscribed to");

        consumer.unsubscribeLite("b");
        send(producer, topic, "b", 100, 1);
        consumer.subscribeLite("other", OffsetOption.ofTailN(2));
        Run.await(() -> "the last two: " + received.of("other"), () -> received.of("other").size() == 2);
        Check.equal(List.of("other 35", "other 38"), received.of("other"), "the last two");
        send(producer, topic, "a", 100, 1);
        Run.await(() -> "one more of a", () -> received.of("a").contains("a 100"));
        Check.that(!received.of("b").contains("b 100"), "b is not subscribed to any more");
        consumer.subscribeLite("b");
        Run.await(() -> "what b has kept: " + received.of("b"), () -> received.of("b").contains("b 100"));
        received.attempts.forEach((body, all) -> Check.equal(List.of(1), all, "attempts of " + body));
        return Json.object("messages", received.attempts.size());
    }

    /** What fails too often is a dead letter, which still says what it is of; the rest goes on in order. */
    private static Object dead(Run run) throws Exception {
        String topic = topic(run, "lite_dead");
        String group = group(run, "g_lite_dead", topic, 1, Map.of());
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        Received received = new Received();
        LitePushConsumer consumer = start(run, group, topic, view -> {
            received.note(view);
            return GrpcConsuming.text(view).equals("bad 1") ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
        });
        consumer.subscribeLite("bad");
        send(producer, topic, "bad", 0, 4);
        Run.await(() -> "all of them: " + received.bodies, () -> received.of("bad").contains("bad 3"));
        MessageExt letter = Log.read(run, "%DLQ%" + group, 1).get(0);
        Check.equal("bad 1", Sending.text(letter), "the dead letter");
        Check.equal("bad", letter.getProperty("__LITE_TOPIC"), "its lite topic");
        Check.equal(List.of("bad 0", "bad 1", "bad 1", "bad 2", "bad 3"), received.of("bad"), "what came");
        Check.equal(List.of(1, 2), received.attempts.get("bad 1"), "attempts of the dead one");
        return Json.object("attempts", received.attempts.get("bad 1").toString());
    }

    /** In a group whose lite topics are one client's alone the last one that subscribes has it, and the one before is told. */
    private static Object exclusive(Run run) throws Exception {
        String topic = topic(run, "lite_exclusive");
        String group = group(run, "g_lite_exclusive", topic, 16, Map.of("lite.sub.model", "Exclusive"));
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        Received older = new Received();
        Received newer = new Received();
        LitePushConsumer first = start(run, group, topic, older::take);
        first.subscribeLite("mine");
        first.subscribeLite("still");
        send(producer, topic, "mine", 0, 3);
        Run.await(() -> "the first three: " + older.bodies, () -> older.of("mine").size() == 3);
        LitePushConsumer second = start(run, group, topic, newer::take);
        second.subscribeLite("mine");
        Run.await(() -> "the older client to hear of it: " + first.getLiteTopicSet(), () ->
                first.getLiteTopicSet().equals(Set.of("still")));
        send(producer, topic, "mine", 3, 3);
        send(producer, topic, "still", 0, 1);
        Run.await(() -> "the newer client's: " + newer.bodies, () -> newer.of("mine").size() == 3);
        Run.await(() -> "what is still the older's: " + older.bodies, () -> older.of("still").size() == 1);
        Check.equal(List.of("mine 3", "mine 4", "mine 5"), newer.of("mine"), "what the newer client was given");
        Check.equal(List.of("mine 0", "mine 1", "mine 2"), older.of("mine"), "what the older client was given");
        return Json.object("given", 7);
    }

    /** More than the group allows, names that are none, and messages that are not of the topic's kind. */
    private static Object refused(Run run) throws Exception {
        String topic = topic(run, "lite_refused");
        String normal = run.name("grpc_lite_normal");
        Shapes.topic(run, run.producer(), normal, 1, "message.type", "NORMAL");
        String group = group(run, "g_lite_refused", topic, 16, Map.of("lite.sub.client.quota", "2"));
        LitePushConsumer consumer = start(run, group, topic, view -> ConsumeResult.SUCCESS);
        consumer.subscribeLite("one");
        consumer.subscribeLite("two");
        Check.thrown(LiteSubscriptionQuotaExceededException.class, "a third one", () -> consumer.subscribeLite("three"));
        consumer.unsubscribeLite("one");
        Check.thrown(ClientException.class, "a name that is none", () -> consumer.subscribeLite("a b"));
        consumer.subscribeLite("three");
        LitePushConsumer unbound = start(run, GrpcConsuming.group(run, "g_lite_unbound", false, 16), topic,
                view -> ConsumeResult.SUCCESS);
        Check.thrown(ClientException.class, "a group that is not bound", () -> unbound.subscribeLite("one"));
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        Check.thrown(Exception.class, "a normal message", () ->
                producer.send(GrpcProducing.plain(topic).setBody(Sending.bytes("x")).build()));
        Check.thrown(Exception.class, "a lite message to a normal topic", () ->
                producer.send(GrpcProducing.plain(normal).setLiteTopic("l").setBody(Sending.bytes("x")).build()));
        return Json.object("subscribed", consumer.getLiteTopicSet().toString());
    }

    static String topic(Run run, String label) throws Exception {
        String topic = run.name("grpc_" + label);
        Shapes.topic(run, run.producer(), topic, 4, "message.type", "LITE");
        return topic;
    }

    static String group(Run run, String label, String topic, int retries, Map<String, String> attributes) throws Exception {
        Map<String, String> all = new ConcurrentHashMap<>(attributes);
        all.put("lite.bind.topic", topic);
        return GrpcConsuming.group(run, label, false, retries, all);
    }

    static void send(Producer producer, String topic, String lite, int first, int count) throws Exception {
        for (int i = first; i < first + count; i++) {
            producer.send(GrpcProducing.plain(topic).setLiteTopic(lite).setBody(Sending.bytes(lite + " " + i)).build());
        }
    }

    static LitePushConsumer start(Run run, String group, String topic, MessageListener listener) throws Exception {
        LitePushConsumer consumer = GRPC.newLitePushConsumerBuilder()
                .setClientConfiguration(GrpcProducing.configuration(run))
                .setConsumerGroup(group)
                .bindTopic(topic)
                .setMessageListener(listener)
                .build();
        GrpcConsuming.closeBehind(run, consumer);
        return consumer;
    }
}
