package cases;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The gRPC client consumes what it and the remoting client have sent. Topics and groups are made by remoting. */
final class GrpcConsuming {
    private static final ClientServiceProvider GRPC = ClientServiceProvider.loadService();
    /** The shortest for which a message may be out. */
    private static final Duration INVISIBLE = Duration.ofSeconds(10);

    private GrpcConsuming() {}

    static void register(Map<String, Case> cases) {
        cases.put("grpc-consuming-topics", GrpcConsuming::topics);
        cases.put("grpc-dead-go", run -> {
            MessageExt letter = Log.read(run, "%DLQ%" + run.name("g_c_dead_go"), 1).get(0);
            Check.equal("never", Sending.text(letter), "the dead letter");
            return Json.object("tried", letter.getReconsumeTimes());
        });
        cases.put("grpc-simple", GrpcConsuming::simple);
        cases.put("grpc-again", GrpcConsuming::again);
        cases.put("grpc-push", GrpcConsuming::push);
        cases.put("grpc-dead", GrpcConsuming::dead);
        cases.put("grpc-push-fifo", GrpcConsuming::pushFifo);
        cases.put("grpc-simple-fifo", GrpcConsuming::simpleFifo);
        cases.put("grpc-filters", GrpcConsuming::filters);
        cases.put("grpc-timed", GrpcConsuming::timed);
        cases.put("grpc-from-remoting", GrpcConsuming::fromRemoting);
        cases.put("grpc-shared", GrpcConsuming::shared);
        cases.put("grpc-before-kill", GrpcConsuming::beforeKill);
        cases.put("grpc-after-kill", GrpcConsuming::afterKill);
    }

    /** The topics and groups that programs in other languages consume. */
    private static Object topics(Run run) throws Exception {
        DefaultMQProducer admin = run.producer();
        for (String label : List.of("simple", "again", "push", "dead", "filters")) {
            Shapes.topic(run, admin, run.name("grpc_c_" + label), 4, "message.type", "NORMAL");
        }
        Shapes.topic(run, admin, run.name("grpc_c_fifo"), 4, "message.type", "FIFO");
        Shapes.topic(run, admin, run.name("grpc_c_timed"), 1, "message.type", "DELAY");
        group(run, "g_c_dead_go", false, 1);
        group(run, "g_c_fifo_go", true, 16);
        return Json.object("topics", 7);
    }

    /** Two consumers of one group share a topic: each message once, as it was sent, and none when all are acknowledged. */
    private static Object simple(Run run) throws Exception {
        String topic = run.name("grpc_simple");
        Shapes.topic(run, run.producer(), topic, 4, "message.type", "NORMAL");
        String group = group(run, "g_simple", false, 16);
        SimpleConsumer one = simple(run, group, topic, FilterExpression.SUB_ALL);
        SimpleConsumer other = simple(run, group, topic, FilterExpression.SUB_ALL);
        settle(run, topic, one, other);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        for (int i = 0; i < Cross.MESSAGES; i++) {
            producer.send(GrpcProducing.message(Cross.message(topic, i)));
        }
        Map<String, MessageView> received = new TreeMap<>();
        Set<String> takers = new HashSet<>();
        while (received.size() < Cross.MESSAGES) {
            for (SimpleConsumer consumer : List.of(one, other)) {
                for (MessageView view : consumer.receive(8, INVISIBLE)) {
                    String index = view.getProperties().get("index");
                    Check.that(received.put(index, view) == null, index + " came twice");
                    Check.equal(1, view.getDeliveryAttempt(), "attempt of " + index);
                    consumer.ack(view);
                    takers.add(consumer == one ? "one" : "other");
                }
            }
        }
        for (int i = 0; i < Cross.MESSAGES; i++) {
            same(topic, i, received.get(Integer.toString(i)));
        }
        Check.equal(Set.of("one", "other"), takers, "consumers that were given some");
        Check.thrown(ClientException.class, "a second acknowledgement", () -> one.ack(received.get("0")));
        nothing(run, one, INVISIBLE.plusSeconds(2));
        return Json.object("messages", received.size());
    }

    /** Not acknowledged, it comes again when its time is over, however often it was given a new one. */
    private static Object again(Run run) throws Exception {
        String topic = run.name("grpc_again");
        Shapes.topic(run, run.producer(), topic, 1, "message.type", "NORMAL");
        SimpleConsumer consumer = simple(run, group(run, "g_again", false, 16), topic, FilterExpression.SUB_ALL);
        settle(run, topic, consumer);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        for (String body : List.of("acked", "silent", "hurried", "delayed")) {
            producer.send(GrpcProducing.plain(topic).setKeys("k " + body).setTag(body)
                    .setBody(Sending.bytes(body)).build());
        }
        Map<String, MessageView> first = new TreeMap<>();
        Run.await(() -> "the first four: " + first.keySet(), () -> {
            receive(consumer, INVISIBLE).forEach(view -> first.put(text(view), view));
            return first.size() == 4;
        });
        long start = System.nanoTime();
        consumer.ack(first.get("acked"));
        consumer.changeInvisibleDuration(first.get("hurried"), Duration.ofSeconds(1));
        consumer.changeInvisibleDuration(first.get("delayed"), Duration.ofSeconds(15));
        List<String> order = new ArrayList<>();
        Map<String, Long> afterMs = new TreeMap<>();
        while (order.size() < 3) {
            for (MessageView view : consumer.receive(4, INVISIBLE)) {
                afterMs.put(text(view), Run.millisSince(start));
                order.add(text(view));
                Check.equal(2, view.getDeliveryAttempt(), "attempt of " + text(view));
                Check.equal(text(view), view.getTag().orElse(""), "tag");
                Check.equal(first.get(text(view)).getMessageId(), view.getMessageId(), "message id");
                Check.equal(topic, view.getTopic(), "topic");
                consumer.ack(view);
            }
        }
        Check.equal(List.of("hurried", "silent", "delayed"), order, "what comes again, in order");
        Check.that(afterMs.get("hurried") >= 900, "too soon: " + afterMs);
        Check.that(afterMs.get("silent") >= 8_000, "too soon: " + afterMs);
        Check.that(afterMs.get("delayed") >= 14_900, "too soon: " + afterMs);
        return Json.object("afterMs", afterMs.toString());
    }

    /** Each once, but for those that fail at first: they come again, each with one attempt more. */
    private static Object push(Run run) throws Exception {
        String topic = run.name("grpc_push");
        Shapes.topic(run, run.producer(), topic, 4, "message.type", "NORMAL");
        int count = 500;
        Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
        push(run, group(run, "g_push", false, 16), topic, view -> {
            attempts.computeIfAbsent(text(view), first -> new ArrayList<>()).add(view.getDeliveryAttempt());
            boolean fails = text(view).endsWith("7") && view.getDeliveryAttempt() < 2;
            return fails ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
        });
        settlePush(run, topic, attempts);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        for (int i = 0; i < count; i++) {
            producer.sendAsync(GrpcProducing.plain(topic).setBody(Sending.bytes("push " + i)).build()).get();
        }
        Run.await(() -> "all and some again: " + attempts.size(), () -> attempts.size() == count + 1
                && attempts.entrySet().stream().allMatch(one -> one.getValue().size() == (one.getKey().endsWith("7") ? 2 : 1)));
        attempts.remove("settle");
        attempts.forEach((body, all) ->
                Check.equal(body.endsWith("7") ? List.of(1, 2) : List.of(1), all, "attempts of " + body));
        return Json.object("messages", attempts.size());
    }

    /** After its last attempt it is a dead letter, with its content and where it came from. */
    private static Object dead(Run run) throws Exception {
        String topic = run.name("grpc_dead");
        Shapes.topic(run, run.producer(), topic, 1, "message.type", "NORMAL");
        String group = group(run, "g_dead", false, 2);
        Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
        push(run, group, topic, view -> {
            attempts.computeIfAbsent(text(view), first -> new ArrayList<>()).add(view.getDeliveryAttempt());
            return text(view).equals("never") ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
        });
        settlePush(run, topic, attempts);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        SendReceipt receipt = producer.send(GrpcProducing.plain(topic).setKeys("a key").setBody(Sending.bytes("never")).build());
        producer.send(GrpcProducing.plain(topic).setBody(Sending.bytes("good")).build());
        MessageExt letter = Log.read(run, "%DLQ%" + group, 1).get(0);
        Check.equal("never", Sending.text(letter), "body of the dead letter");
        Check.equal("a key", letter.getKeys(), "keys of the dead letter");
        Check.equal(receipt.getMessageId().toString(), letter.getMsgId(), "message id of the dead letter");
        Check.equal(topic, letter.getProperty("DLQ_ORIGIN_TOPIC"), "origin of the dead letter");
        Check.equal(List.of(1, 2, 3), attempts.get("never"), "attempts");
        Check.equal(List.of(1), attempts.get("good"), "attempts of the other");
        return Json.object("attempts", attempts.get("never").toString());
    }

    /** In order by message group; one that fails is tried here, then forwarded as a dead letter, and the rest goes on. */
    private static Object pushFifo(Run run) throws Exception {
        String topic = run.name("grpc_push_fifo");
        Shapes.topic(run, run.producer(), topic, 4, "message.type", "FIFO");
        String group = group(run, "g_push_fifo", true, 1);
        Map<String, List<String>> seen = new ConcurrentHashMap<>();
        Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
        push(run, group, topic, view -> {
            String body = text(view);
            attempts.computeIfAbsent(body, first -> new ArrayList<>()).add(view.getDeliveryAttempt());
            if (body.equals("group 2 12")) {
                return ConsumeResult.FAILURE;
            }
            seen.computeIfAbsent(view.getMessageGroup().orElse(""), first -> new ArrayList<>()).add(body);
            return ConsumeResult.SUCCESS;
        });
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        int count = 60;
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String name = "group " + i % 5;
            bodies.add(name + " " + i);
            producer.send(GrpcProducing.plain(topic).setMessageGroup(name).setBody(Sending.bytes(name + " " + i)).build());
        }
        Run.await(() -> "all in order: " + seen, () -> seen.values().stream().mapToInt(List::size).sum() >= count - 1);
        MessageExt letter = Log.read(run, "%DLQ%" + group, 1).get(0);
        Check.equal("group 2 12", Sending.text(letter), "the dead letter");
        for (int i = 0; i < 5; i++) {
            String name = "group " + i;
            List<String> wanted = bodies.stream().filter(body -> body.startsWith(name)).filter(body -> !body.equals("group 2 12")).toList();
            Check.equal(wanted, seen.get(name), "order of " + name);
        }
        attempts.forEach((body, all) ->
                Check.equal(body.equals("group 2 12") ? List.of(1, 2) : List.of(1), all, "attempts of " + body));
        return Json.object("messages", count, "deadAfter", attempts.get("group 2 12").toString());
    }

    /** In order, the next batch of a queue waits for the one before; not acknowledged, the same comes again, before it. */
    private static Object simpleFifo(Run run) throws Exception {
        String topic = run.name("grpc_simple_fifo");
        Shapes.topic(run, run.producer(), topic, 1, "message.type", "FIFO");
        SimpleConsumer consumer = simple(run, group(run, "g_simple_fifo", true, 16), topic, FilterExpression.SUB_ALL);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        for (int i = 0; i < 6; i++) {
            producer.send(GrpcProducing.plain(topic).setMessageGroup("same").setBody(Sending.bytes("" + i)).build());
        }
        List<MessageView> first = some(consumer, 2);
        Check.equal(List.of("0", "1"), first.stream().map(GrpcConsuming::text).toList(), "the first two");
        consumer.ack(first.get(0));
        consumer.changeInvisibleDuration(first.get(1), Duration.ofSeconds(1));
        List<MessageView> second = some(consumer, 4);
        Check.equal("1", text(second.get(0)), "what comes again");
        Check.equal(2, second.get(0).getDeliveryAttempt(), "its attempt");
        Check.equal(1, second.size(), "nothing overtakes it");
        consumer.ack(second.get(0));
        List<MessageView> rest = some(consumer, 8);
        Check.equal(List.of("2", "3", "4", "5"), rest.stream().map(GrpcConsuming::text).toList(), "the rest");
        for (MessageView view : rest) {
            Check.equal(1, view.getDeliveryAttempt(), "attempt of " + text(view));
            consumer.ack(view);
        }
        return Json.object("messages", 6);
    }

    private static Object filters(Run run) throws Exception {
        String topic = run.name("grpc_filters");
        Shapes.topic(run, run.producer(), topic, 2, "message.type", "NORMAL");
        SimpleConsumer tags = simple(run, group(run, "g_tags", false, 16), topic, new FilterExpression("a || c"));
        SimpleConsumer sql = simple(run, group(run, "g_sql", false, 16), topic,
                new FilterExpression("number > 20 AND TAGS <> 'a'", FilterExpressionType.SQL92));
        Set<String> pushed = ConcurrentHashMap.newKeySet();
        Map<String, FilterExpression> odd = Map.of(topic,
                new FilterExpression("kind = 'odd'", FilterExpressionType.SQL92));
        push(run, group(run, "g_sql_push", false, 16), odd, view -> {
            Check.that(pushed.add(text(view)), text(view) + " came twice");
            return ConsumeResult.SUCCESS;
        });
        // All of them begin here, before the first message.
        tags.receive(1, INVISIBLE);
        sql.receive(1, INVISIBLE);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        Set<String> wantedTags = new HashSet<>();
        Set<String> wantedSql = new HashSet<>();
        Set<String> wantedOdd = new HashSet<>();
        for (int i = 0; i < 40; i++) {
            String tag = List.of("a", "b", "c").get(i % 3);
            producer.send(GrpcProducing.plain(topic).setTag(tag).addProperty("number", "" + i)
                    .addProperty("kind", i % 2 == 0 ? "even" : "odd").setBody(Sending.bytes("" + i)).build());
            if (!tag.equals("b")) {
                wantedTags.add("" + i);
            }
            if (i > 20 && !tag.equals("a")) {
                wantedSql.add("" + i);
            }
            if (i % 2 == 1) {
                wantedOdd.add("" + i);
            }
        }
        Check.equal(wantedTags, drained(tags, wantedTags.size()), "by tag");
        Check.equal(wantedSql, drained(sql, wantedSql.size()), "by SQL");
        Run.awaitSize("pushed by SQL", pushed, wantedOdd.size());
        Check.equal(wantedOdd, pushed, "pushed by SQL");
        Check.thrown(Exception.class, "an expression that is none",
                () -> push(run, group(run, "g_bad", false, 16),
                        Map.of(topic, new FilterExpression("number >", FilterExpressionType.SQL92)), view -> ConsumeResult.SUCCESS));
        return Json.object("tags", wantedTags.size(), "sql", wantedSql.size(), "pushed", pushed.size());
    }

    /** For a time, and never before it; or taken back, and never at all. */
    private static Object timed(Run run) throws Exception {
        String topic = run.name("grpc_timed");
        Shapes.topic(run, run.producer(), topic, 1, "message.type", "DELAY");
        SimpleConsumer consumer = simple(run, group(run, "g_timed", false, 16), topic, FilterExpression.SUB_ALL);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        long dueMs = System.currentTimeMillis() + 2_000;
        SendReceipt recalled = producer.send(GrpcProducing.plain(topic).setDeliveryTimestamp(dueMs)
                .setBody(Sending.bytes("never")).build());
        producer.send(GrpcProducing.plain(topic).setDeliveryTimestamp(dueMs).setBody(Sending.bytes("later")).build());
        Check.equal(recalled.getMessageId(), producer.recallMessage(topic, recalled.getRecallHandle()).getMessageId(),
                "what was taken back");
        Check.thrown(ClientException.class, "to take it back twice",
                () -> producer.recallMessage(topic, recalled.getRecallHandle()));
        MessageView view = some(consumer, 8).get(0);
        long lateMs = System.currentTimeMillis() - dueMs;
        Check.equal("later", text(view), "body");
        Check.equal(dueMs, view.getDeliveryTimestamp().orElse(0L), "delivery time");
        Check.that(lateMs >= 0, "delivered " + -lateMs + " ms early");
        consumer.ack(view);
        nothing(run, consumer, Duration.ofSeconds(5));
        return Json.object("lateMs", lateMs);
    }

    /** What remoting producers send, compressed bodies among them. */
    private static Object fromRemoting(Run run) throws Exception {
        String topic = run.name("grpc_from_remoting");
        DefaultMQProducer producer = run.producer();
        Shapes.topic(run, producer, topic, 4, "message.type", "NORMAL");
        SimpleConsumer consumer = simple(run, group(run, "g_from_remoting", false, 16), topic, FilterExpression.SUB_ALL);
        settle(run, topic, consumer);
        for (int i = 0; i < Cross.MESSAGES; i++) {
            Sending.sent(producer.send(Cross.message(topic, i)));
        }
        Map<String, MessageView> received = new TreeMap<>();
        while (received.size() < Cross.MESSAGES) {
            for (MessageView view : consumer.receive(16, INVISIBLE)) {
                Check.that(received.put(view.getProperties().get("index"), view) == null, "one came twice");
                consumer.ack(view);
            }
        }
        for (int i = 0; i < Cross.MESSAGES; i++) {
            same(topic, i, received.get(Integer.toString(i)));
        }
        return Json.object("messages", received.size());
    }

    /** Administrators see the consumers and ask them. */
    private static Object shared(Run run) throws Exception {
        String topic = run.name("grpc_shared");
        Shapes.topic(run, run.producer(), topic, 1, "message.type", "NORMAL");
        String group = group(run, "g_shared", false, 16);
        Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
        push(run, group, topic, view -> {
            attempts.computeIfAbsent(text(view), first -> new ArrayList<>()).add(view.getDeliveryAttempt());
            return ConsumeResult.SUCCESS;
        });
        settlePush(run, topic, attempts);
        DefaultMQAdminExt admin = admin(run);
        var connections = admin.examineConsumerConnectionInfo(group);
        Check.equal(1, connections.getConnectionSet().size(), "connections of the group");
        Check.equal("JAVA", connections.getConnectionSet().iterator().next().getLanguage().name(), "language");
        Check.that(connections.getSubscriptionTable().containsKey(topic), "subscriptions " + connections.getSubscriptionTable());
        String client = connections.getConnectionSet().iterator().next().getClientId();
        String threads = admin.getConsumerRunningInfo(group, client, true).getJstack();
        Check.that(threads.contains("RocketmqMessageConsumption") || threads.contains("main"), "threads of the client: " + threads);
        MessageExt settled = Log.read(run, topic, 1).get(0);
        var directly = admin.consumeMessageDirectly(group, client, topic, settled.getProperty("UNIQ_KEY") == null
                ? settled.getMsgId() : ((org.apache.rocketmq.common.message.MessageClientExt) settled).getOffsetMsgId());
        Check.equal("CR_SUCCESS", directly.getConsumeResult().name(), "result of consuming directly");
        Check.that(attempts.get("settle").size() >= 2, "it was consumed directly: " + attempts);
        return Json.object("client", client);
    }

    /** Leaves three messages out and three acknowledged. */
    private static Object beforeKill(Run run) throws Exception {
        String topic = run.name("grpc_kill");
        Shapes.topic(run, run.producer(), topic, 1, "message.type", "NORMAL");
        SimpleConsumer consumer = simple(run, group(run, "g_kill", false, 16), topic, FilterExpression.SUB_ALL);
        settle(run, topic, consumer);
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        for (int i = 0; i < 8; i++) {
            producer.send(GrpcProducing.plain(topic).setBody(Sending.bytes("" + i)).build());
        }
        List<MessageView> views = new ArrayList<>();
        while (views.size() < 6) {
            views.addAll(consumer.receive(6 - views.size(), INVISIBLE));
        }
        for (MessageView view : views.subList(0, 3)) {
            consumer.ack(view);
        }
        consumer.changeInvisibleDuration(views.get(5), Duration.ofSeconds(1));
        return Json.object("out", 3);
    }

    /** Those come again, and no other. */
    private static Object afterKill(Run run) throws Exception {
        String topic = run.name("grpc_kill");
        SimpleConsumer consumer = simple(run, run.name("g_kill"), topic, FilterExpression.SUB_ALL);
        Map<String, Integer> attempts = new TreeMap<>();
        while (attempts.size() < 5) {
            for (MessageView view : consumer.receive(8, INVISIBLE)) {
                Check.that(attempts.put(text(view), view.getDeliveryAttempt()) == null, text(view) + " came twice");
                consumer.ack(view);
            }
        }
        Check.equal(Map.of("3", 2, "4", 2, "5", 2, "6", 1, "7", 1), attempts, "messages and attempts after the kill");
        nothing(run, consumer, INVISIBLE.plusSeconds(2));
        return Json.object("attempts", attempts.toString());
    }

    private static void same(String topic, int i, MessageView view) {
        org.apache.rocketmq.common.message.Message wanted = Cross.message(topic, i);
        Check.equal(topic, view.getTopic(), "topic of " + i);
        Check.that(Arrays.equals(wanted.getBody(), bytes(view)), "the body of " + i + " changed on its way");
        Check.equal(wanted.getTags(), view.getTag().orElse(null), "tag of " + i);
        Check.equal(Set.of(wanted.getKeys().split(" ")), new HashSet<>(view.getKeys()), "keys of " + i);
        Map<String, String> properties = Map.of("index", "" + i, "\u540d", wanted.getUserProperty("\u540d"));
        Check.equal(properties, view.getProperties(), "properties of " + i);
    }

    static byte[] bytes(MessageView view) {
        ByteBuffer body = view.getBody();
        byte[] bytes = new byte[body.remaining()];
        body.get(bytes);
        return bytes;
    }

    static String text(MessageView view) {
        return new String(bytes(view), StandardCharsets.UTF_8);
    }

    private static List<MessageView> receive(SimpleConsumer consumer, Duration invisible) {
        try {
            return consumer.receive(8, invisible);
        } catch (ClientException failure) {
            throw new IllegalStateException(failure);
        }
    }

    /** The next messages that are there, up to so many. */
    private static List<MessageView> some(SimpleConsumer consumer, int most) throws Exception {
        while (true) {
            List<MessageView> views = consumer.receive(most, INVISIBLE);
            if (!views.isEmpty()) {
                return views;
            }
        }
    }

    private static Set<String> drained(SimpleConsumer consumer, int count) throws Exception {
        Set<String> bodies = new HashSet<>();
        while (bodies.size() < count) {
            for (MessageView view : consumer.receive(16, INVISIBLE)) {
                Check.that(bodies.add(text(view)), text(view) + " came twice");
                consumer.ack(view);
            }
        }
        return bodies;
    }

    /** Nothing comes in this time. */
    private static void nothing(Run run, SimpleConsumer consumer, Duration time) throws Exception {
        long end = System.nanoTime() + time.toNanos();
        while (System.nanoTime() < end) {
            Check.equal(List.of(), consumer.receive(8, INVISIBLE).stream().map(GrpcConsuming::text).toList(), "what comes after all");
        }
    }

    /** A new group begins at the end: a message tells when it has. */
    private static void settle(Run run, String topic, SimpleConsumer... consumers) throws Exception {
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        producer.send(GrpcProducing.plain(topic).setBody(Sending.bytes("settle")).build());
        MessageView view = some(consumers[0], 1).get(0);
        Check.equal("settle", text(view), "the first message");
        consumers[0].ack(view);
    }

    private static void settlePush(Run run, String topic, Map<String, List<Integer>> attempts) throws Exception {
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        producer.send(GrpcProducing.plain(topic).setBody(Sending.bytes("settle")).build());
        Run.await("the first message", () -> attempts.containsKey("settle"));
    }

    private static DefaultMQAdminExt admin(Run run) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(15_000);
        run.own(admin, admin::shutdown);
        admin.start();
        return admin;
    }

    static String group(Run run, String label, boolean orderly, int retries) throws Exception {
        return group(run, label, orderly, retries, Map.of());
    }

    static String group(Run run, String label, boolean orderly, int retries, Map<String, String> attributes)
            throws Exception {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(run.name(label));
        config.setConsumeMessageOrderly(orderly);
        config.setRetryMaxTimes(retries);
        Map<String, String> changes = new TreeMap<>();
        attributes.forEach((name, value) -> changes.put("+" + name, value));
        config.setAttributes(changes);
        DefaultMQAdminExt admin = admin(run);
        for (var broker : admin.examineBrokerClusterInfo().getBrokerAddrTable().values()) {
            admin.createAndUpdateSubscriptionGroupConfig(broker.getBrokerAddrs().get(0L), config);
        }
        return config.getGroupName();
    }

    static SimpleConsumer simple(Run run, String group, String topic, FilterExpression filter) throws Exception {
        SimpleConsumer consumer = GRPC.newSimpleConsumerBuilder()
                .setClientConfiguration(GrpcProducing.configuration(run))
                .setConsumerGroup(group)
                .setAwaitDuration(Duration.ofSeconds(5))
                .setSubscriptionExpressions(Map.of(topic, filter))
                .build();
        run.closing(() -> close(consumer));
        return consumer;
    }

    static PushConsumer push(Run run, String group, String topic, MessageListener listener) throws Exception {
        return push(run, group, Map.of(topic, FilterExpression.SUB_ALL), listener);
    }

    private static PushConsumer push(Run run, String group, Map<String, FilterExpression> filters, MessageListener listener)
            throws Exception {
        PushConsumer consumer = GRPC.newPushConsumerBuilder()
                .setClientConfiguration(GrpcProducing.configuration(run))
                .setConsumerGroup(group)
                .setSubscriptionExpressions(filters)
                .setMessageListener(listener)
                .build();
        closeBehind(run, consumer);
        return consumer;
    }

    /** A push consumer waits for its last receive to end, which has nobody else wait. */
    static void closeBehind(Run run, java.io.Closeable consumer) {
        run.closing(() -> {
            Thread closing = new Thread(() -> close(consumer));
            closing.setDaemon(true);
            closing.start();
        });
    }

    private static void close(java.io.Closeable consumer) {
        try {
            consumer.close();
        } catch (Exception failure) {
            throw new IllegalStateException(failure);
        }
    }
}
