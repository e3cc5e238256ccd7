package cases;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What topics may be by their attributes: of batches that stay one record, of one type, by priority, with a quota. */
final class Shapes {
    private Shapes() {}

    static void register(Map<String, Case> cases) {
        cases.put("inner-batch", Shapes::innerBatch);
        cases.put("auto-batch", Shapes::autoBatch);
        cases.put("message-type", Shapes::messageType);
        cases.put("priority", Shapes::priority);
        cases.put("quota", Shapes::quota);
        cases.put("namespace-v2", Shapes::namespaceBesideNames);
    }

    /** A namespace of the newer kind is said beside each request, and leaves names as they are. */
    private static Object namespaceBesideNames(Run run) throws Exception {
        String topic = run.name("namespace_v2");
        DefaultMQProducer producer = run.unstartedProducer();
        producer.setNamespaceV2("tenant");
        run.start(producer);
        run.topic(producer, topic, 2);
        Set<String> received = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = Consuming.listening(run, run.name("g_namespace_v2"), topic, "*", message -> {
            Check.equal(topic, message.getTopic(), "topic of a message");
            received.add(Sending.text(message));
        });
        consumer.setNamespaceV2("tenant");
        run.start(consumer);
        for (int i = 0; i < 20; i++) {
            SendResult result = Sending.sent(producer.send(Sending.message(topic, "v2 " + i)));
            Check.equal(topic, result.getMessageQueue().getTopic(), "topic of a send");
        }
        Run.awaitSize("messages", received, 20);
        Check.equal(20, Log.read(run, topic, 20).size(), "messages for a client without a namespace");
        return Json.object("messages", 20);
    }

    static void topic(Run run, DefaultMQProducer producer, String topic, int queues, String name, String value)
            throws Exception {
        // The producer's own call leaves attributes out.
        producer.getDefaultMQProducerImpl().getMqClientFactory().getMQAdminImpl()
                .createTopic("TBW102", topic, queues, 0, Collections.singletonMap("+" + name, value));
        Run.await("a route for " + topic, () -> {
            try {
                return producer.fetchPublishMessageQueues(topic).size() == queues;
            } catch (Exception notYet) {
                return false;
            }
        });
    }

    private static Object innerBatch(Run run) throws Exception {
        String topic = run.name("inner_batch");
        DefaultMQProducer producer = run.producer();
        topic(run, producer, topic, 1, "queue.type", "BatchCQ");
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        Set<String> pushed = ConcurrentHashMap.newKeySet();
        Map<Long, String> offsets = new ConcurrentHashMap<>();
        run.start(Consuming.listening(run, run.name("g_inner"), topic, "even || odd", message -> {
            // Last, as that is what is waited for.
            offsets.put(message.getQueueOffset(), Sending.text(message));
            pushed.add(Sending.text(message));
        }));

        int sent = 0;
        for (int size : new int[] {1, 10, 100}) {
            List<Message> batch = new ArrayList<>();
            for (int i = 0; i < size; i++, sent++) {
                Message message = new Message(topic, sent % 2 == 0 ? "even" : "odd", Sending.bytes("inner " + sent));
                message.setKeys("key" + sent);
                batch.add(message);
            }
            SendResult result = Sending.sent(producer.send(batch, queue));
            Check.equal((long) (sent - size), result.getQueueOffset(), "offset of a batch");
            Sending.sent(producer.send(new Message(topic, "even", Sending.bytes("inner " + sent++)), queue));
        }
        Run.awaitOffset(producer, queue, sent);
        Run.awaitSize("messages of batches", pushed, sent);
        for (int i = 0; i < sent; i++) {
            Check.equal("inner " + i, offsets.get((long) i), "message at offset " + i);
        }

        // From the middle of the last batch: all of it, and behind it what follows.
        DefaultMQPullConsumer pull = run.pull(run.name("g_inner_pull"));
        PullResult some = pull.pull(queue, "*", 50, 32);
        Check.equal(PullStatus.FOUND, some.getPullStatus(), "status of a pull in the middle");
        Check.equal((long) sent, some.getNextBeginOffset(), "next offset behind the batch");
        Map<Long, String> found = new TreeMap<>();
        for (MessageExt message : some.getMsgFoundList()) {
            String before = found.put(message.getQueueOffset(), Sending.text(message));
            Check.that(before == null, "twice at offset " + message.getQueueOffset());
        }
        Check.equal("inner 50", found.get(50L), "message in the middle");
        Check.equal("inner " + (sent - 1), found.get(sent - 1L), "last message");
        return Json.object("messages", sent, "fromTheMiddle", found.size());
    }

    private static Object autoBatch(Run run) throws Exception {
        String topic = run.name("auto_batch");
        DefaultMQProducer producer = run.unstartedProducer();
        producer.setAutoBatch(true);
        producer.batchMaxDelayMs(20);
        run.start(producer);
        topic(run, producer, topic, 2, "queue.type", "BatchCQ");
        Set<String> pushed = ConcurrentHashMap.newKeySet();
        run.start(Consuming.listening(run, run.name("g_auto"), topic, "*", message -> pushed.add(Sending.text(message))));
        int count = 500;
        Set<String> wanted = new HashSet<>();
        CountDownLatch done = new CountDownLatch(count);
        Set<String> failures = ConcurrentHashMap.newKeySet();
        for (int i = 0; i < count; i++) {
            wanted.add("auto " + i);
            producer.send(Sending.message(topic, "auto " + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    done.countDown();
                }

                @Override
                public void onException(Throwable failure) {
                    failures.add(String.valueOf(failure));
                    done.countDown();
                }
            });
        }
        Check.that(done.await(30, TimeUnit.SECONDS), "every send is answered");
        Check.equal(Set.of(), failures, "failures");
        Run.awaitSize("messages", pushed, count);
        Check.equal(wanted, pushed, "bodies");
        return Json.object("messages", count);
    }

    private static Object messageType(Run run) throws Exception {
        String topic = run.name("message_type");
        DefaultMQProducer producer = run.producer();
        topic(run, producer, topic, 1, "message.type", "DELAY");
        Message delayed = Sending.message(topic, "later");
        delayed.setDelayTimeLevel(1);
        Sending.sent(producer.send(delayed));
        MQBrokerException refusal = Check.thrown(MQBrokerException.class, "a message without a delay",
                () -> producer.send(Sending.message(topic, "now")));
        Check.equal(13, refusal.getResponseCode(), "code of the refusal");
        Check.that(refusal.getErrorMessage().contains("expected type is DELAY, but actual type is NORMAL"),
                "it names both types: " + refusal.getErrorMessage());
        return Json.object("refusal", refusal.getErrorMessage());
    }

    private static Object priority(Run run) throws Exception {
        String topic = run.name("priority");
        DefaultMQProducer producer = run.producer();
        topic(run, producer, topic, 4, "message.type", "PRIORITY");
        for (int priority : new int[] {0, 2, 3, 9}) {
            Message message = Sending.message(topic, "priority " + priority);
            message.setPriority(priority);
            SendResult result = Sending.sent(producer.send(message));
            Check.equal(Math.min(priority, 3), result.getMessageQueue().getQueueId(), "queue of priority " + priority);
        }
        return Json.object("messages", 4);
    }

    private static Object quota(Run run) throws Exception {
        String topic = run.name("quota");
        DefaultMQProducer producer = run.unstartedProducer();
        // It would try again on codes that speak of the broker; a quota is not that.
        producer.setRetryTimesWhenSendFailed(5);
        run.start(producer);
        topic(run, producer, topic, 1, "quota.send.messages", "1");
        Sending.sent(producer.send(Sending.message(topic, "taken")));
        MQBrokerException refusal = Check.thrown(MQBrokerException.class, "more than the quota",
                () -> producer.send(Sending.message(topic, "refused")));
        Check.equal(215, refusal.getResponseCode(), "code of the refusal");
        Check.that(refusal.getErrorMessage().contains("its quota is 1 messages a second; retry after "),
                "it says the limit and when to retry: " + refusal.getErrorMessage());
        Run.await("a send after a while", () -> {
            try {
                Sending.sent(producer.send(Sending.message(topic, "taken")));
                return true;
            } catch (Exception stillRefused) {
                return false;
            }
        });
        return Json.object("refusal", refusal.getErrorMessage());
    }
}
