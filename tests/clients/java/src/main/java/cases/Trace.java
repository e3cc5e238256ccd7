package cases;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Producers and consumers that trace: what they did is in the trace topic, under the id and the key of each message. */
final class Trace {
    private static final String TOPIC = "RMQ_SYS_TRACE_TOPIC";

    private Trace() {}

    static void register(Map<String, Case> cases) {
        cases.put("trace", Trace::trace);
    }

    private static Object trace(Run run) throws Exception {
        String topic = run.name("traced");
        DefaultMQProducer producer = new DefaultMQProducer(run.name("p_traced"), true, null);
        run.own(producer);
        producer.setSendMsgTimeout(10_000);
        run.start(producer);
        run.topic(producer, topic, 1);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(run.name("g_traced"), true, null);
        run.own(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        Set<String> received = ConcurrentHashMap.newKeySet();
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> received.add(message.getMsgId()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.start(consumer);
        String key = run.name("traced-key");
        SendResult sent = Sending.sent(producer.send(new Message(topic, "tag", key, Sending.bytes("traced"))));
        Run.awaitSize("traced messages", received, 1);

        // Clients send their traces in their own time.
        DefaultMQPullConsumer pull = run.pull(run.name("g_traces"));
        List<String> kinds = new ArrayList<>();
        Run.await(() -> "traces of " + sent.getMsgId() + ": " + kinds, () -> {
            kinds.clear();
            try {
                for (MessageQueue queue : pull.fetchSubscribeMessageQueues(TOPIC)) {
                    collect(pull, queue, sent.getMsgId(), key, kinds);
                }
            } catch (Exception notYet) {
                return false;
            }
            return kinds.containsAll(List.of("Pub", "SubBefore", "SubAfter"));
        });
        for (String word : List.of(sent.getMsgId(), key)) {
            Check.equal(List.of("Pub", "SubAfter", "SubBefore"), found(producer, word, sent.getMsgId()), "traces found by " + word);
        }
        return Json.object("kinds", kinds);
    }

    /** What kinds of records of a message are found in the index, by its id or by a key of it. */
    private static List<String> found(DefaultMQProducer producer, String word, String id) throws Exception {
        List<String> kinds = new ArrayList<>();
        long end = System.currentTimeMillis() + 60_000;
        for (MessageExt message : producer.queryMessage(TOPIC, word, 64, 0, end).getMessageList()) {
            for (String record : Sending.text(message).split("\u0002")) {
                if (record.contains(id)) {
                    kinds.add(record.split("\u0001")[0]);
                }
            }
        }
        kinds.sort(null);
        return kinds;
    }

    /** What kinds of records in the queue are of this message; a message of records has the ids and keys of all of them. */
    private static void collect(DefaultMQPullConsumer pull, MessageQueue queue, String id, String key, List<String> kinds)
            throws Exception {
        long next = pull.minOffset(queue);
        while (true) {
            PullResult result = pull.pull(queue, "*", next, 32);
            if (result.getPullStatus() != PullStatus.FOUND) {
                return;
            }
            next = result.getNextBeginOffset();
            for (MessageExt message : result.getMsgFoundList()) {
                if (message.getKeys() == null || !message.getKeys().contains(id)) {
                    continue;
                }
                Check.that(message.getKeys().contains(key), "keys of a trace: " + message.getKeys());
                for (String record : Sending.text(message).split("\u0002")) {
                    if (record.contains(id)) {
                        kinds.add(record.split("\u0001")[0]);
                    }
                }
            }
        }
    }
}
