package cases;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/** Ordered consumption: per key strictly in sequence, over several queues and while queues change hands. */
final class Ordered {
    private static final int KEYS = 16;
    private static final int PER_KEY = 60;

    private Ordered() {}

    static void register(Map<String, Case> cases) {
        cases.put("ordered", Ordered::ordered);
    }

    private static Object ordered(Run run) throws Exception {
        String topic = run.name("ordered");
        String group = run.name("g_ordered");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        Sequence sequence = new Sequence();
        AtomicInteger bySecond = new AtomicInteger();
        DefaultMQPushConsumer first = consumer(run, group, topic, sequence, new AtomicInteger());
        DefaultMQPushConsumer second = consumer(run, group, topic, sequence, bySecond);

        run.start(first);
        send(producer, topic, 0, PER_KEY / 3);
        Run.awaitSize("ordered messages of the first consumer", sequence.seen, KEYS * PER_KEY / 3);
        run.start(second);
        Run.await(() -> "queues split 2 and 2, now " + Run.held(first, topic).size() + " and "
                        + Run.held(second, topic).size(),
                Run.nudging(second, () -> Run.held(first, topic).size() == 2 && Run.held(second, topic).size() == 2));
        send(producer, topic, PER_KEY / 3, 2 * PER_KEY / 3);
        Run.awaitSize("ordered messages of both consumers", sequence.seen, KEYS * PER_KEY * 2 / 3);
        Check.that(bySecond.get() > 0, "the second consumer received nothing");
        // While this last third is on its way the second consumer leaves and its queues move back.
        send(producer, topic, 2 * PER_KEY / 3, PER_KEY);
        second.shutdown();
        Run.awaitSize("ordered messages", sequence.seen, KEYS * PER_KEY);
        Check.that(sequence.violations.isEmpty(), "out of order: " + sequence.violations);
        Check.that(sequence.suspended.get(), "nothing was suspended");
        return Json.object("messages", sequence.seen.size(), "repeated", sequence.repeats.get(),
                "bySecond", bySecond.get());
    }

    private static void send(DefaultMQProducer producer, String topic, int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            for (int key = 0; key < KEYS; key++) {
                Message message = new Message(topic, "tag", "key" + key, Sending.bytes(key + ":" + i));
                SendResult result = Sending.sent(producer.send(message,
                        (queues, any, arg) -> queues.get((Integer) arg % queues.size()), key));
                Check.equal(key % 4, result.getMessageQueue().getQueueId(), "queue of key " + key);
            }
        }
    }

    private static DefaultMQPushConsumer consumer(
            Run run, String group, String topic, Sequence sequence, AtomicInteger count) throws Exception {
        DefaultMQPushConsumer consumer = run.push(group, topic, "*");
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            String[] parts = Sending.text(messages.get(0)).split(":");
            int key = Integer.parseInt(parts[0]);
            int number = Integer.parseInt(parts[1]);
            // Once, a message is refused: it has to come again before any later one of its queue.
            if (key == 3 && number == 7 && sequence.suspended.compareAndSet(false, true)) {
                context.setSuspendCurrentQueueTimeMillis(100);
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            sequence.take(key, number);
            count.incrementAndGet();
            return ConsumeOrderlyStatus.SUCCESS;
        });
        return consumer;
    }

    /** What has come, per key. A repeat of what is done already is allowed; a gap is not. */
    private static final class Sequence {
        final Set<String> seen = ConcurrentHashMap.newKeySet();
        final ConcurrentLinkedQueue<String> violations = new ConcurrentLinkedQueue<>();
        final AtomicInteger repeats = new AtomicInteger();
        final AtomicBoolean suspended = new AtomicBoolean();
        private final Map<Integer, Integer> next = new ConcurrentHashMap<>();

        void take(int key, int number) {
            next.compute(key, (any, stored) -> {
                int wanted = stored == null ? 0 : stored;
                if (number > wanted) {
                    violations.add("key " + key + ": " + number + " before " + wanted);
                } else if (number < wanted) {
                    repeats.incrementAndGet();
                }
                seen.add(key + ":" + number);
                return Math.max(wanted, number + 1);
            });
        }
    }
}
