package cases;

import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.impl.consumer.DefaultMQPushConsumerImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageRequestMode;

/** Popping: consumers that leave balancing to the broker, and what they are made of, called one by one. */
final class Pop {
    private Pop() {}

    static void register(Map<String, Case> cases) {
        cases.put("pop", Pop::shared);
        cases.put("pop-retry", Pop::retried);
        cases.put("pop-switch", Pop::switched);
        cases.put("pop-calls", Pop::calls);
        cases.put("pop-shapes", Pop::shapes);
    }

    /** What consumers of one group have received. */
    private static final class Seen {
        final Map<String, AtomicInteger> bodies = new ConcurrentHashMap<>();
        final Set<Integer> members = ConcurrentHashMap.newKeySet();

        int distinct() {
            return bodies.size();
        }

        void once(int count) {
            Check.equal(count, bodies.size(), "messages");
            bodies.forEach((body, times) -> Check.equal(1, times.get(), "deliveries of " + body));
        }
    }

    private static void mode(DefaultMQProducer producer, String topic, String group, MessageRequestMode mode)
            throws Exception {
        Api.wire(producer).setMessageRequestMode(address(producer, topic), topic, group, mode, 0, 10_000);
    }

    /** Where the topic's broker is, which a producer that has sent nothing has not looked up. */
    static String address(DefaultMQProducer producer, String topic) throws Exception {
        producer.getDefaultMQProducerImpl().getMqClientFactory().updateTopicRouteInfoFromNameServer(topic);
        String broker = producer.fetchPublishMessageQueues(topic).get(0).getBrokerName();
        return Api.brokerAddress(producer, broker);
    }

    private static DefaultMQPushConsumer popper(Run run, String group, String topic, String tags, int number, Seen seen)
            throws Exception {
        DefaultMQPushConsumer consumer = run.push(group, topic, tags);
        consumer.setClientRebalance(false);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                // The bodies last, as those are what is waited for.
                seen.members.add(number);
                seen.bodies.computeIfAbsent(Sending.text(message), body -> new AtomicInteger()).incrementAndGet();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return consumer;
    }

    /** Two consumers share the queues of a topic message by message, each gets some, none is delivered twice. */
    private static Object shared(Run run) throws Exception {
        String topic = run.name("pop");
        String group = run.name("g_pop");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 3);
        mode(producer, topic, group, MessageRequestMode.POP);
        Seen seen = new Seen();
        for (int number = 0; number < 2; number++) {
            DefaultMQPushConsumer consumer = popper(run, group, topic, "even || other", number, seen);
            consumer.setPopBatchNums(4);
            run.start(consumer);
        }
        for (int i = 0; i < 400; i++) {
            String tag = i % 2 == 0 ? "even" : "odd";
            Sending.sent(producer.send(new Message(topic, tag, Sending.bytes("pop " + i))));
        }
        Run.await(() -> "popped " + seen.distinct(), () -> seen.distinct() >= 200 && seen.members.size() == 2);
        seen.once(200);
        Run.await(() -> "stored offsets, now " + Offsets.stored(producer, group, topic),
                () -> Offsets.stored(producer, group, topic) == 400);
        return Json.object("messages", 400, "wanted", 200, "members", seen.members.size());
    }

    /** Messages that fail come again, counted, under the topic that they were sent to; so do those that nobody answers for. */
    private static Object retried(Run run) throws Exception {
        String topic = run.name("pop_retry");
        String group = run.name("g_pop_retry");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        mode(producer, topic, group, MessageRequestMode.POP);
        DefaultMQPushConsumer consumer = run.push(group, topic, "*");
        consumer.setClientRebalance(false);
        consumer.setPopInvisibleTime(5_000);
        consumer.setConsumeMessageBatchMaxSize(1);
        // How long the client asks for after each failure, in seconds: 10 and 30 as it comes, and it has no setting for it.
        Field levels = DefaultMQPushConsumerImpl.class.getDeclaredField("popDelayLevel");
        levels.setAccessible(true);
        int[] delays = (int[]) levels.get(consumer.getDefaultMQPushConsumerImpl());
        delays[0] = 1;
        delays[1] = 2;
        Map<String, List<Integer>> counts = new ConcurrentHashMap<>();
        Map<String, Long> firstFailed = new ConcurrentHashMap<>();
        List<String> wrong = new ArrayList<>();
        AtomicInteger done = new AtomicInteger();
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                String body = Sending.text(message);
                int times = message.getReconsumeTimes();
                counts.computeIfAbsent(body, key -> new ArrayList<>()).add(times);
                if (!message.getTopic().equals(topic)) {
                    wrong.add(body + " in " + message.getTopic());
                }
                if (body.startsWith("fails") && times < 2) {
                    Long before = firstFailed.putIfAbsent(body, System.nanoTime());
                    if (before != null && Run.millisSince(before) < 1_000) {
                        wrong.add(body + " came too early");
                    }
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                if (body.equals("hangs") && times == 0) {
                    try {
                        // Longer than the message is out.
                        Thread.sleep(5_500);
                    } catch (InterruptedException stopped) {
                        Thread.currentThread().interrupt();
                    }
                    return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                }
                done.incrementAndGet();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.start(consumer);
        for (int i = 0; i < 5; i++) {
            Sending.sent(producer.send(Sending.message(topic, "fails " + i)));
            Sending.sent(producer.send(Sending.message(topic, "works " + i)));
        }
        Sending.sent(producer.send(Sending.message(topic, "hangs")));
        Run.await(() -> "done with " + done + ", " + counts, () -> done.get() >= 11);
        for (int i = 0; i < 5; i++) {
            Check.equal(List.of(0, 1, 2), counts.get("fails " + i), "counts of a message that fails twice");
            Check.equal(List.of(0), counts.get("works " + i), "counts of one that does not");
        }
        Check.equal(List.of(0, 1), counts.get("hangs"), "counts of one that nobody answered for");
        Check.equal(List.of(), wrong, "what is wrong");
        List<MessageExt> retries = Log.read(run, "%RETRY%" + group + "_" + topic, 11);
        Check.equal(11, retries.size(), "messages in the retry topic");
        for (MessageExt retry : retries) {
            Check.that(retry.getProperty("1ST_POP_TIME") != null, "time of the first pop");
        }
        return Json.object("failed", 5, "retries", retries.size());
    }

    /** An administrator moves a group from pull to pop and back while its consumer runs. */
    private static Object switched(Run run) throws Exception {
        String topic = run.name("pop_switch");
        String group = run.name("g_pop_switch");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Seen seen = new Seen();
        DefaultMQPushConsumer consumer = popper(run, group, topic, "*", 0, seen);
        run.start(consumer);
        int sent = 0;
        boolean isPop = false;
        for (int round = 0; round < 3; round++) {
            boolean expected = isPop;
            Run.await("the mode has changed", Run.nudging(consumer, () -> pops(consumer, topic) == expected));
            for (int i = 0; i < 30; i++) {
                Sending.sent(producer.send(Sending.message(topic, "switch " + sent++)));
            }
            int wanted = sent;
            Run.await(() -> "received " + seen.distinct() + " of " + wanted, () -> seen.distinct() >= wanted);
            Run.await(() -> "stored offsets, now " + Offsets.stored(producer, group, topic) + " of " + wanted, () -> {
                consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
                return Offsets.stored(producer, group, topic) == wanted;
            });
            isPop = !isPop;
            mode(producer, topic, group, isPop ? MessageRequestMode.POP : MessageRequestMode.PULL);
        }
        seen.once(sent);
        return Json.object("messages", sent);
    }

    private static boolean pops(DefaultMQPushConsumer consumer, String topic) {
        boolean pops = consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getPopProcessQueueTable().keySet()
                .stream().anyMatch(queue -> queue.getTopic().equals(topic));
        return pops && Run.held(consumer, topic).isEmpty();
    }

    /** Batches that stay one record come message by message, and topics for priorities from the most urgent on. */
    private static Object shapes(Run run) throws Exception {
        String topic = run.name("pop_batches");
        String group = run.name("g_pop_shapes");
        DefaultMQProducer producer = run.producer();
        Shapes.topic(run, producer, topic, 1, "queue.type", "BatchCQ");
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            batch.add(Sending.message(topic, "inner " + i));
        }
        Sending.sent(producer.send(batch, queue));
        PopCaller caller = new PopCaller(Api.wire(producer), queue, address(producer, topic));
        List<String> seen = new ArrayList<>();
        String left = null;
        while (seen.size() < 50) {
            PopResult popped = caller.pop(group, 32, 2_000, 0, null);
            Check.equal(PopStatus.FOUND, popped.getPopStatus(), "status after " + seen.size());
            for (MessageExt message : popped.getMsgFoundList()) {
                Check.equal((long) seen.size(), message.getQueueOffset(), "offset");
                seen.add(Sending.text(message));
                if (seen.size() == 8) {
                    left = Sending.text(message);
                    continue;
                }
                Check.equal(AckStatus.OK, caller.ack(group, PopCaller.handle(message)).getStatus(), "acknowledgement");
            }
        }
        Check.equal(batch.stream().map(message -> new String(message.getBody(), StandardCharsets.UTF_8)).toList(), seen,
                "messages");
        PopResult again = caller.pop(group, 32, 60_000, 10_000, null);
        Check.equal(List.of(left), again.getMsgFoundList().stream().map(Sending::text).toList(), "what comes again");
        caller.ack(group, PopCaller.handle(again.getMsgFoundList().get(0)));

        String urgent = run.name("pop_urgent");
        Shapes.topic(run, producer, urgent, 4, "message.type", "PRIORITY");
        for (int priority : new int[] {0, 2, 3, 1}) {
            Message message = Sending.message(urgent, "priority " + priority);
            message.setPriority(priority);
            Sending.sent(producer.send(message));
        }
        MessageQueue any = producer.fetchPublishMessageQueues(urgent).get(0);
        PopCaller calls = new PopCaller(Api.wire(producer), any, address(producer, urgent));
        for (int priority = 3; priority >= 0; priority--) {
            MessageExt message = calls.pop(group, 1, 60_000, 1_000, null).getMsgFoundList().get(0);
            Check.equal("priority " + priority, Sending.text(message), "the most urgent");
        }
        return Json.object("messages", seen.size() + 4);
    }

    /** Each call by itself: pop in order and not, acknowledge one and many, change the time. */
    private static Object calls(Run run) throws Exception {
        String topic = run.name("pop_calls");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 1);
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        PopCaller caller = new PopCaller(Api.wire(producer), queue, address(producer, topic));
        for (int i = 0; i < 6; i++) {
            Sending.sent(producer.send(Sending.message(topic, "call " + i), queue));
        }

        String plain = run.name("g_pop_plain");
        PopResult popped = caller.pop(plain, 4, 60_000, 0, null);
        Check.equal(PopStatus.FOUND, popped.getPopStatus(), "status");
        Check.equal(4, popped.getMsgFoundList().size(), "messages");
        Check.equal(2L, popped.getRestNum(), "messages that are left");
        List<MessageExt> messages = popped.getMsgFoundList();
        Check.equal(AckStatus.OK, caller.ack(plain, PopCaller.handle(messages.get(0))).getStatus(), "one acknowledgement");
        caller.ackAll(plain, List.of(PopCaller.handle(messages.get(1)), PopCaller.handle(messages.get(2))));
        AckResult changed = caller.change(plain, PopCaller.handle(messages.get(3)), 300);
        Check.equal(AckStatus.OK, changed.getStatus(), "a new time");
        Check.equal(AckStatus.NO_EXIST, caller.change(plain, PopCaller.handle(messages.get(3)), 60_000).getStatus(), "the old handle");
        Check.equal(2, caller.pop(plain, 32, 60_000, 0, null).getMsgFoundList().size(), "the other messages");
        PopResult again = caller.pop(plain, 32, 60_000, 10_000, null);
        Check.equal(1, again.getMsgFoundList().size(), "messages that come again");
        MessageExt third = again.getMsgFoundList().get(0);
        Check.equal("call 3", Sending.text(third), "what comes again");
        Check.equal(1, third.getReconsumeTimes(), "how often it was there before");
        Check.equal(topic, third.getTopic(), "its topic");
        Check.that(again.getPopTime() >= changed.getPopTime() + 300, "it came too early");
        Check.that(again.getPopTime() < changed.getPopTime() + 2_000, "it came late");
        Check.equal(AckStatus.OK, caller.ack(plain, PopCaller.handle(third)).getStatus(), "acknowledgement of what came again");
        Check.equal(PopStatus.POLLING_NOT_FOUND, caller.pop(plain, 32, 60_000, 100, null).getPopStatus(), "status of an empty poll");

        String ordered = run.name("g_pop_ordered");
        PopResult block = caller.pop(ordered, 2, 60_000, 0, "first");
        Check.equal(List.of("call 0", "call 1"), block.getMsgFoundList().stream().map(Sending::text).toList(), "in order");
        Check.equal(PopStatus.POLLING_NOT_FOUND, caller.pop(ordered, 2, 60_000, 0, "other").getPopStatus(), "while they are out");
        Check.equal(2, caller.pop(ordered, 2, 60_000, 0, "first").getMsgFoundList().size(), "the same attempt");
        CompletableFuture<PopResult> waits = caller.popAsync(ordered, 2, 60_000, 10_000, "second");
        List<MessageExt> now = caller.pop(ordered, 2, 1_000, 0, "first").getMsgFoundList();
        caller.ack(ordered, PopCaller.handle(now.get(0)));
        PopResult next = waits.get(20, TimeUnit.SECONDS);
        Check.equal(List.of("call 1"), next.getMsgFoundList().stream().map(Sending::text).toList(), "what was not acknowledged");
        Check.equal(1, next.getMsgFoundList().get(0).getReconsumeTimes(), "how often it was there before, in order");
        caller.ack(ordered, PopCaller.handle(next.getMsgFoundList().get(0)));
        Check.equal("call 2", Sending.text(caller.pop(ordered, 1, 60_000, 0, "third").getMsgFoundList().get(0)), "and on");
        return Json.object("messages", 6);
    }
}
