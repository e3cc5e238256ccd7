package cases;

import java.util.Collection;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Offsets outlive the consumer (`offsets`) and the broker (`offsets-before`, a restart by whoever runs this, then
 * `offsets-after` with the same suffix).
 */
final class Offsets {
    private static final int QUERY_CONSUMER_OFFSET = 14;
    private static final int FIRST = 100;
    private static final int LATER = 50;

    private Offsets() {}

    static void register(Map<String, Case> cases) {
        cases.put("offsets", run -> {
            String topic = run.name("offsets");
            consumeFirst(run, topic);
            return consumeOnlyLater(run, topic);
        });
    }

    static void registerRestart(Map<String, Case> cases) {
        cases.put("offsets-before", run -> consumeFirst(run, run.name("offsets_restart")));
        cases.put("offsets-after", run -> consumeOnlyLater(run, run.name("offsets_restart")));
    }

    private static Object consumeFirst(Run run, String topic) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        Set<String> wanted = send(producer, topic, 0, FIRST);
        Collection<String> received = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, "g_" + topic, topic, "*",
                message -> received.add(Sending.text(message)));
        run.start(consumer);
        Run.awaitSize("first messages", received, FIRST);
        Check.equal(wanted, new HashSet<>(received), "bodies");
        // Shutting down stores the offsets; they travel one way, so their arrival is awaited at the broker.
        consumer.shutdown();
        Run.await(() -> "stored offsets, now " + stored(producer, "g_" + topic, topic),
                () -> stored(producer, "g_" + topic, topic) == FIRST);
        return Json.object("messages", FIRST);
    }

    private static Object consumeOnlyLater(Run run, String topic) throws Exception {
        DefaultMQProducer producer = run.producer();
        Set<String> wanted = send(producer, topic, FIRST, FIRST + LATER);
        Check.equal((long) FIRST, stored(producer, "g_" + topic, topic), "stored offsets");
        Collection<String> received = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, "g_" + topic, topic, "*",
                message -> received.add(Sending.text(message)));
        run.start(consumer);
        Run.awaitSize("later messages", received, LATER);
        consumer.shutdown();
        Check.equal(wanted, new TreeSet<>(received), "bodies");
        Check.equal(LATER, received.size(), "messages");
        return Json.object("messages", LATER);
    }

    private static Set<String> send(DefaultMQProducer producer, String topic, int from, int to) throws Exception {
        Set<String> bodies = new TreeSet<>();
        for (int i = from; i < to; i++) {
            bodies.add("offsets " + i);
            Sending.sent(producer.send(Sending.message(topic, "offsets " + i)));
        }
        return bodies;
    }

    /**
     * The sum of the group's offsets as the broker has them, or -1 if a queue has none yet. Asked past the client's
     * consumers: one of the same group would be a member and take its share of the queues.
     */
    static long stored(DefaultMQProducer producer, String group, String topic) {
        try {
            long sum = 0;
            for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
                RemotingCommand query = RemotingCommand.createRequestCommand(QUERY_CONSUMER_OFFSET, null);
                query.addExtField("consumerGroup", group);
                query.addExtField("topic", topic);
                query.addExtField("queueId", Integer.toString(queue.getQueueId()));
                query.addExtField("setZeroIfNotFound", "false");
                RemotingCommand answer = Api.wire(producer).getRemotingClient().invokeSync(
                        Api.brokerAddress(producer, queue.getBrokerName()), query, 5_000);
                if (answer.getCode() != 0) {
                    return -1;
                }
                sum += Long.parseLong(answer.getExtFields().get("offset"));
            }
            return sum;
        } catch (Exception unavailable) {
            return -1;
        }
    }
}
