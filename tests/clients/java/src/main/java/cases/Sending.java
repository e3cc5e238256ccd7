package cases;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Every way to send: what is acknowledged lies in the log, once, in the place that the answer named. */
final class Sending {
    private Sending() {}

    static void register(Map<String, Case> cases) {
        cases.put("sync", Sending::sync);
        cases.put("async", Sending::async);
        cases.put("oneway", Sending::oneway);
        cases.put("batch", Sending::batch);
        cases.put("queue", Sending::explicitQueue);
    }

    private static Object sync(Run run) throws Exception {
        String topic = run.name("sync");
        DefaultMQProducer producer = run.producer();
        Map<String, SendResult> results = new TreeMap<>();
        for (int i = 0; i < 200; i++) {
            String body = "sync " + i;
            results.put(body, sent(producer.send(message(topic, body))));
        }
        // The topic came into being on the first send, with the producer's default of four queues.
        Check.equal(4, producer.fetchPublishMessageQueues(topic).size(), "queues of the new topic");
        inPlace(results, Log.read(run, topic, 200));
        return Json.object("messages", results.size());
    }

    private static Object async(Run run) throws Exception {
        String topic = run.name("async");
        int count = 2_000;
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        Map<String, SendResult> results = new ConcurrentHashMap<>();
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        CountDownLatch answers = new CountDownLatch(count);
        for (int i = 0; i < count; i++) {
            String body = "async " + i;
            producer.send(message(topic, body), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    results.put(body, result);
                    answers.countDown();
                }

                @Override
                public void onException(Throwable failure) {
                    failures.add(failure);
                    answers.countDown();
                }
            }, 20_000);
        }
        Check.that(answers.await(30, TimeUnit.SECONDS), answers.getCount() + " sends were never answered");
        Check.that(failures.isEmpty(), failures.size() + " sends failed, first: " + failures.peek());
        results.values().forEach(Sending::sent);
        inPlace(results, Log.read(run, topic, count));
        return Json.object("messages", count);
    }

    private static Object oneway(Run run) throws Exception {
        String topic = run.name("oneway");
        int count = 200;
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        Set<String> wanted = new TreeSet<>();
        for (int i = 0; i < count; i++) {
            wanted.add("oneway " + i);
            producer.sendOneway(message(topic, "oneway " + i));
        }
        List<MessageExt> found = Log.read(run, topic, count);
        Check.equal(count, found.size(), "messages in the log");
        Check.equal(wanted, bodies(found), "bodies");
        return Json.object("messages", count);
    }

    private static Object batch(Run run) throws Exception {
        String topic = run.name("batch");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            Message message = new Message(topic, "tag" + i % 3, "key-" + i, bytes("batch " + i));
            message.setFlag(i);
            message.putUserProperty("index", Integer.toString(i));
            batch.add(message);
        }
        SendResult result = sent(producer.send(batch));
        Check.equal(50, new HashSet<>(Arrays.asList(result.getMsgId().split(","))).size(), "message ids");
        Check.equal(50, result.getOffsetMsgId().split(",").length, "offset message ids");

        MessageQueue queue = result.getMessageQueue();
        SendResult second = sent(producer.send(List.of(message(topic, "batch 50"), message(topic, "batch 51")), queue));
        Check.equal(queue, second.getMessageQueue(), "queue asked for");

        List<MessageExt> found = Log.read(run, topic, 52);
        Check.equal(52, found.size(), "messages in all queues");
        String[] ids = result.getMsgId().split(",");
        for (int i = 0; i < 50; i++) {
            MessageExt message = found.get(i);
            Check.equal(queue.getQueueId(), message.getQueueId(), "queue of " + i);
            Check.equal(result.getQueueOffset() + i, message.getQueueOffset(), "offset of " + i);
            Check.equal("batch " + i, text(message), "body of " + i);
            Check.equal("tag" + i % 3, message.getTags(), "tag of " + i);
            Check.equal("key-" + i, message.getKeys(), "key of " + i);
            Check.equal(i, message.getFlag(), "flag of " + i);
            Check.equal(Integer.toString(i), message.getUserProperty("index"), "property of " + i);
            Check.equal(ids[i], message.getMsgId(), "id of " + i);
        }
        return Json.object("messages", 52);
    }

    private static Object explicitQueue(Run run) throws Exception {
        String topic = run.name("queue");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 6);
        for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
            SendResult direct = sent(producer.send(message(topic, "to " + queue.getQueueId()), queue));
            Check.equal(queue, direct.getMessageQueue(), "queue of a direct send");
            Check.equal(0L, direct.getQueueOffset(), "first offset");
        }
        for (int i = 0; i < 60; i++) {
            SendResult selected = sent(producer.send(message(topic, "by selector"),
                    (queues, message, arg) -> queues.get((Integer) arg % queues.size()), i));
            Check.equal(i % 6, selected.getMessageQueue().getQueueId(), "queue of a selected send");
            Check.equal(1L + i / 6, selected.getQueueOffset(), "offset of a selected send");
        }
        return Json.object("queues", 6);
    }

    /** Every answer named the place where its message is, and nothing else is there. */
    private static void inPlace(Map<String, SendResult> results, List<MessageExt> found) {
        Check.equal(results.size(), found.size(), "messages in the log");
        Set<String> ids = new HashSet<>();
        for (MessageExt message : found) {
            SendResult result = results.get(text(message));
            Check.that(result != null, "nobody sent " + text(message));
            Check.equal(result.getMsgId(), message.getMsgId(), "message id");
            Check.equal(result.getQueueOffset(), message.getQueueOffset(), "queue offset");
            Check.equal(result.getMessageQueue().getQueueId(), message.getQueueId(), "queue id");
            Check.equal(result.getMessageQueue().getBrokerName(), message.getBrokerName(), "broker name");
            Check.that(ids.add(message.getMsgId()), "twice in the log: " + message.getMsgId());
        }
    }

    static SendResult sent(SendResult result) {
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        return result;
    }

    static Message message(String topic, String body) {
        return new Message(topic, bytes(body));
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    static Set<String> bodies(List<MessageExt> messages) {
        Set<String> bodies = new TreeSet<>();
        messages.forEach(message -> bodies.add(text(message)));
        return bodies;
    }
}
