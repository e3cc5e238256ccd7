package cases;

import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * What one case has in hand: names that nobody else uses, clients that are shut down when it ends, and waiting for
 * conditions instead of for time to pass.
 */
final class Run implements AutoCloseable {
    private static final AtomicInteger INSTANCES = new AtomicInteger();

    private final String namesrv;
    private final String grpc;
    private final String suffix;
    private final Deque<Runnable> shutdowns = new ArrayDeque<>();

    Run(String namesrv, String grpc, String suffix) {
        this.namesrv = namesrv;
        this.grpc = grpc;
        this.suffix = suffix;
    }

    String name(String label) {
        return label + "_" + suffix;
    }

    /** Where the name server is. */
    String namesrv() {
        return namesrv;
    }

    /** Where the broker serves gRPC. */
    String grpc() {
        return grpc;
    }

    /** A started producer. It does not retry: a send that fails is the case's to see. */
    DefaultMQProducer producer() throws Exception {
        DefaultMQProducer producer = unstartedProducer();
        start(producer);
        return producer;
    }

    DefaultMQProducer unstartedProducer() {
        DefaultMQProducer producer = new DefaultMQProducer(name("p"));
        own(producer);
        producer.setSendMsgTimeout(10_000);
        producer.setRetryTimesWhenSendFailed(0);
        producer.setRetryTimesWhenSendAsyncFailed(0);
        return producer;
    }

    /** A producer of transactions that is not started. */
    TransactionMQProducer transactional(String group, TransactionListener listener) {
        TransactionMQProducer producer = new TransactionMQProducer(group);
        own(producer);
        producer.setSendMsgTimeout(10_000);
        producer.setTransactionListener(listener);
        return producer;
    }

    void start(DefaultMQProducer producer) throws Exception {
        producer.start();
        closing(producer::shutdown);
    }

    /** A push consumer that is not started: the case still sets its listener. */
    DefaultMQPushConsumer push(String group, String topic, String tags) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        own(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        // Offsets are stored when a consumer shuts down: not before the listeners that still run have returned.
        consumer.setAwaitTerminationMillisWhenShutdown(5_000);
        consumer.subscribe(topic, tags);
        return consumer;
    }

    void start(DefaultMQPushConsumer consumer) throws Exception {
        consumer.start();
        closing(consumer::shutdown);
    }

    DefaultMQPullConsumer pull(String group) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group);
        own(consumer);
        consumer.start();
        closing(consumer::shutdown);
        return consumer;
    }

    DefaultLitePullConsumer lite(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        own(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        return consumer;
    }

    void start(DefaultLitePullConsumer consumer) throws Exception {
        consumer.start();
        closing(consumer::shutdown);
    }

    /** Creates the topic by admin call and waits until the name server routes to it. */
    void topic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        Api.createTopic(producer, topic, queues);
        await("a route with " + queues + " queues for " + topic, () -> {
            try {
                return producer.fetchPublishMessageQueues(topic).size() == queues;
            } catch (Exception notYet) {
                return false;
            }
        });
    }

    /** Waits until the queue ends at this offset: it may be filled a moment after a send is answered. */
    static void awaitOffset(DefaultMQProducer producer, MessageQueue queue, long offset) throws Exception {
        long[] found = new long[1];
        await(() -> "max offset " + offset + ", now " + found[0], () -> {
            try {
                found[0] = producer.maxOffset(queue);
                return found[0] >= offset;
            } catch (Exception notYet) {
                return false;
            }
        });
        Check.equal(offset, found[0], "max offset");
    }

    /** The queues of the topic that this consumer holds at the moment. */
    static Set<MessageQueue> held(DefaultMQPushConsumer consumer, String topic) {
        Set<MessageQueue> held = new LinkedHashSet<>();
        for (MessageQueue queue
                : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(topic)) {
                held.add(queue);
            }
        }
        return held;
    }

    /**
     * The condition, after letting the consumer look for its share at most five times a second. A client that found a
     * queue still locked, or its retry topic not yet there, looks again by itself only after 20 s.
     */
    static BooleanSupplier nudging(DefaultMQPushConsumer consumer, BooleanSupplier condition) {
        long[] last = {System.nanoTime()};
        return () -> {
            if (System.nanoTime() - last[0] > 200_000_000L) {
                last[0] = System.nanoTime();
                consumer.getDefaultMQPushConsumerImpl().doRebalance();
            }
            return condition.getAsBoolean();
        };
    }

    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        await(() -> what, condition);
    }

    /** Waits for a set that is being filled to reach the size, and says how far it came if it does not. */
    static void awaitSize(String what, Collection<?> set, int size) throws InterruptedException {
        await(() -> what + ": " + set.size() + " of " + size, () -> set.size() >= size);
    }

    static void await(Supplier<String> what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + 40_000_000_000L;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("not within 40 s: " + what.get());
            }
            Thread.sleep(2);
        }
    }

    static long millisSince(long startNanos) {
        return (System.nanoTime() - startNanos) / 1_000_000;
    }

    /** Makes a client of another kind this case's own; it is shut down with the case. */
    void own(ClientConfig client, Runnable shutdown) {
        own(client);
        closing(shutdown);
    }

    void own(ClientConfig client) {
        client.setNamesrvAddr(namesrv);
        // A rebalance gives the subscription a new version and tells the broker by a heartbeat, which the client skips
        // if another one is just under way. Pulls are then refused as outdated until the next, 30 s later by default.
        client.setHeartbeatBrokerInterval(1_000);
        // Clients of one process share a connection unless they are instances of their own.
        client.setInstanceName("i" + ProcessHandle.current().pid() + "_" + INSTANCES.incrementAndGet());
    }

    /** To be done when the case ends, before what was said earlier. */
    void closing(Runnable shutdown) {
        synchronized (shutdowns) {
            shutdowns.push(shutdown);
        }
    }

    @Override
    public void close() {
        synchronized (shutdowns) {
            while (!shutdowns.isEmpty()) {
                shutdowns.pop().run();
            }
        }
    }
}
