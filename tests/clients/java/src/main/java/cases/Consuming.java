package cases;

import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Push consumption: sharing among a group, everybody in broadcast, tags, retry to the dead-letter queue, delay. */
final class Consuming {
    private Consuming() {}

    static void register(Map<String, Case> cases) {
        cases.put("rebalance", Consuming::rebalance);
        cases.put("broadcast", Consuming::broadcast);
        cases.put("tags", Consuming::tags);
        cases.put("retry-dlq", Consuming::retryThenDeadLetter);
        cases.put("delay", Consuming::delay);
    }

    private static Object rebalance(Run run) throws Exception {
        String topic = run.name("rebalance");
        String group = run.name("g_rebalance");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 8);
        Map<String, AtomicInteger> seen = new ConcurrentHashMap<>();
        AtomicInteger bySecond = new AtomicInteger();
        DefaultMQPushConsumer first = listening(run, group, topic, "*", message ->
                seen.computeIfAbsent(Sending.text(message), body -> new AtomicInteger()).incrementAndGet());
        DefaultMQPushConsumer second = listening(run, group, topic, "*", message -> {
            bySecond.incrementAndGet();
            seen.computeIfAbsent(Sending.text(message), body -> new AtomicInteger()).incrementAndGet();
        });

        // Messages flow all the time, so that every hand-over of a queue happens under load.
        AtomicBoolean enough = new AtomicBoolean();
        Set<String> acknowledged = ConcurrentHashMap.newKeySet();
        AtomicInteger failures = new AtomicInteger();
        Thread sending = new Thread(() -> {
            for (int i = 0; !enough.get(); i++) {
                try {
                    Sending.sent(producer.send(Sending.message(topic, "rebalance " + i)));
                    acknowledged.add("rebalance " + i);
                    Thread.sleep(1);
                } catch (Exception failure) {
                    failures.incrementAndGet();
                }
            }
        });
        sending.start();
        long splitMs;
        long mergeMs;
        try {
            run.start(first);
            Run.await("the first consumer holds all queues", () -> Run.held(first, topic).size() == 8);
            Run.awaitSize("messages before the second consumer", seen.keySet(), 100);
            long start = System.nanoTime();
            run.start(second);
            Run.await(() -> "queues split 4 and 4, now " + Run.held(first, topic).size() + " and "
                            + Run.held(second, topic).size(),
                    () -> Run.held(first, topic).size() == 4 && Run.held(second, topic).size() == 4);
            splitMs = Run.millisSince(start);
            Set<MessageQueue> both = new HashSet<>(Run.held(first, topic));
            both.addAll(Run.held(second, topic));
            Check.equal(8, both.size(), "queues held by either");
            Run.await("the second consumer receives", () -> bySecond.get() >= 100);
            start = System.nanoTime();
            second.shutdown();
            Run.await("all queues are back", () -> Run.held(first, topic).size() == 8);
            mergeMs = Run.millisSince(start);
            int now = seen.size();
            Run.awaitSize("messages after the second consumer", seen.keySet(), now + 100);
        } finally {
            enough.set(true);
            sending.join();
        }
        Check.equal(0, failures.get(), "failed sends");
        Run.await(() -> "all received: " + seen.size() + " of " + acknowledged.size(),
                () -> seen.keySet().containsAll(acknowledged));
        long repeats = seen.values().stream().filter(times -> times.get() > 1).count();
        // The broker tells of the change; without its word a client looks only every 20 s.
        Check.that(splitMs < 15_000 && mergeMs < 15_000, "split took " + splitMs + " ms, merge " + mergeMs + " ms");
        return Json.object("messages", acknowledged.size(), "repeated", repeats, "splitMs", splitMs, "mergeMs", mergeMs);
    }

    private static Object broadcast(Run run) throws Exception {
        String topic = run.name("broadcast");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        List<Collection<String>> received = List.of(new ConcurrentLinkedQueue<>(), new ConcurrentLinkedQueue<>());
        for (Collection<String> mine : received) {
            DefaultMQPushConsumer consumer = listening(run, run.name("g_broadcast"), topic, "*",
                    message -> mine.add(Sending.text(message)));
            Api.broadcast(consumer);
            run.start(consumer);
            Run.await("a broadcast consumer holds all queues", () -> Run.held(consumer, topic).size() == 4);
        }
        Set<String> wanted = new HashSet<>();
        for (int i = 0; i < 100; i++) {
            wanted.add("broadcast " + i);
            Sending.sent(producer.send(Sending.message(topic, "broadcast " + i)));
        }
        for (Collection<String> mine : received) {
            Run.awaitSize("broadcast messages", mine, 100);
            Check.equal(100, mine.size(), "messages of one consumer");
            Check.equal(wanted, new HashSet<>(mine), "bodies of one consumer");
        }
        return Json.object("each", 100);
    }

    private static Object tags(Run run) throws Exception {
        String topic = run.name("tags");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        Set<String> wanted = new HashSet<>();
        // "Aa" and "BB" hash alike: the broker cannot tell them apart and must leave that to the client.
        String[] tags = {"C", "Aa", "BB", null, "B", "AA"};
        for (int i = 0; i < 240; i++) {
            String tag = tags[i % tags.length];
            Sending.sent(producer.send(new Message(topic, tag, Sending.bytes(tag + " " + i))));
            if ("Aa".equals(tag) || "B".equals(tag)) {
                wanted.add(tag + " " + i);
            }
        }
        Collection<String> received = new ConcurrentLinkedQueue<>();
        run.start(listening(run, run.name("g_tags"), topic, "Aa || B", message -> received.add(Sending.text(message))));
        Run.awaitSize("tagged messages", received, wanted.size());
        // The last of each queue is among the wanted ones or before them, so unwanted ones would have come by now.
        Sending.sent(producer.send(new Message(topic, "B", Sending.bytes("last"))));
        wanted.add("last");
        Run.awaitSize("tagged messages", received, wanted.size());
        Check.equal(wanted, new HashSet<>(received), "bodies");
        Check.equal(wanted.size(), received.size(), "messages");
        return Json.object("sent", 241, "received", received.size());
    }

    private static Object retryThenDeadLetter(Run run) throws Exception {
        String topic = run.name("retry");
        String group = run.name("g_retry");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Map<Integer, MessageExt> deliveries = new ConcurrentHashMap<>();
        Map<Integer, Long> times = new ConcurrentHashMap<>();
        Collection<String> good = new ConcurrentLinkedQueue<>();
        AtomicInteger repeats = new AtomicInteger();
        DefaultMQPushConsumer consumer = run.push(group, topic, "*");
        consumer.setMaxReconsumeTimes(2);
        // The retry topic comes into being with the group; the client would find its route only after 30 s.
        consumer.setPollNameServerInterval(500);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            MessageExt message = messages.get(0);
            if (Sending.text(message).startsWith("good")) {
                good.add(Sending.text(message));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
            if (deliveries.put(message.getReconsumeTimes(), message) != null) {
                repeats.incrementAndGet();
            }
            times.put(message.getReconsumeTimes(), System.currentTimeMillis());
            context.setDelayLevelWhenNextConsume(1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        run.start(consumer);
        Run.await("the consumer holds its retry queue",
                Run.nudging(consumer, () -> !Run.held(consumer, "%RETRY%" + group).isEmpty()));
        Message bad = new Message(topic, "tag", "bad-key", Sending.bytes("bad"));
        bad.putUserProperty("origin", "here");
        SendResult result = Sending.sent(producer.send(bad));
        for (int i = 0; i < 20; i++) {
            Sending.sent(producer.send(Sending.message(topic, "good " + i)));
        }
        Run.awaitSize("good messages", good, 20);
        Run.awaitSize("deliveries of the bad message", deliveries.keySet(), 3);
        for (int i = 0; i <= 2; i++) {
            MessageExt delivery = deliveries.get(i);
            Check.equal(topic, delivery.getTopic(), "topic of delivery " + i);
            Check.equal(result.getMsgId(), delivery.getMsgId(), "id of delivery " + i);
            Check.equal("bad", Sending.text(delivery), "body of delivery " + i);
            Check.equal("tag", delivery.getTags(), "tag of delivery " + i);
            Check.equal("bad-key", delivery.getKeys(), "key of delivery " + i);
            Check.equal("here", delivery.getUserProperty("origin"), "property of delivery " + i);
            if (i > 0) {
                long gap = times.get(i) - times.get(i - 1);
                Check.that(gap >= 990, "delivery " + i + " came after " + gap + " ms, its level says 1 s");
            }
        }
        String deadLetters = "%DLQ%" + group;
        List<MessageExt> letters = Log.read(run, deadLetters, 1);
        Check.equal(1, letters.size(), "dead letters");
        MessageExt dead = letters.get(0);
        Check.equal("bad", Sending.text(dead), "body of the dead letter");
        Check.equal(result.getMsgId(), dead.getMsgId(), "id of the dead letter");
        Check.equal("bad-key", dead.getKeys(), "key of the dead letter");
        Check.equal("here", dead.getUserProperty("origin"), "property of the dead letter");
        Check.equal(3, dead.getReconsumeTimes(), "reconsume times of the dead letter");
        Check.equal(topic, dead.getProperty(MessageConst.PROPERTY_RETRY_TOPIC), "origin topic of the dead letter");
        Check.that(dead.getProperty(MessageConst.PROPERTY_ORIGIN_MESSAGE_ID) != null, "no ORIGIN_MESSAGE_ID");
        Check.equal(0, repeats.get(), "repeated deliveries");
        Check.equal(20, good.size(), "good messages");
        return Json.object("firstGapMs", times.get(1) - times.get(0), "secondGapMs", times.get(2) - times.get(1));
    }

    private static Object delay(Run run) throws Exception {
        String topic = run.name("delay");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Map<String, Long> arrivals = new ConcurrentHashMap<>();
        Map<String, MessageExt> messages = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = listening(run, run.name("g_delay"), topic, "*", message -> {
            arrivals.putIfAbsent(Sending.text(message), System.currentTimeMillis());
            messages.put(Sending.text(message), message);
        });
        run.start(consumer);
        Run.await("the consumer holds its queues", () -> Run.held(consumer, topic).size() == 2);
        Map<String, Long> sends = new ConcurrentHashMap<>();
        for (int i = 0; i < 12; i++) {
            Message message = new Message(topic, "tag", "key" + i, Sending.bytes("delay " + i));
            message.setDelayTimeLevel(i == 0 ? 2 : i % 2);
            sends.put("delay " + i, System.currentTimeMillis());
            Sending.sent(producer.send(message));
        }
        Run.awaitSize("delayed messages", arrivals.keySet(), 12);
        long latest = 0;
        for (int i = 0; i < 12; i++) {
            String body = "delay " + i;
            long wanted = i == 0 ? 5_000 : i % 2 * 1_000;
            long took = arrivals.get(body) - sends.get(body);
            Check.that(took >= wanted, body + " came after " + took + " ms, " + wanted + " were asked for");
            Check.that(took < wanted + 2_000, body + " came after " + took + " ms, " + wanted + " were asked for");
            Check.equal("tag", messages.get(body).getTags(), "tag of " + body);
            Check.equal("key" + i, messages.get(body).getKeys(), "key of " + body);
            latest = Math.max(latest, took - wanted);
        }
        return Json.object("messages", 12, "latestMs", latest);
    }

    /** A push consumer, not started, that takes every message and succeeds. */
    static DefaultMQPushConsumer listening(
            Run run, String group, String topic, String tags, Consumer<MessageExt> take) throws Exception {
        DefaultMQPushConsumer consumer = run.push(group, topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(take);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return consumer;
    }
}
