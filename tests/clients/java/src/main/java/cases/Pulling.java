package cases;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullCallback;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Both pull consumers: the one that shares queues among its group or has them assigned, and the classic one. */
final class Pulling {
    private Pulling() {}

    static void register(Map<String, Case> cases) {
        cases.put("lite-subscribe", Pulling::liteSubscribe);
        cases.put("lite-assign", Pulling::liteAssign);
        cases.put("pull", Pulling::classic);
    }

    private static Object liteSubscribe(Run run) throws Exception {
        String topic = run.name("lite_subscribe");
        String group = run.name("g_lite_subscribe");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        Set<String> wanted = new HashSet<>();
        for (int i = 0; i < 120; i++) {
            // By turns of four, so that every queue gets both kinds.
            String tag = i / 4 % 2 == 0 ? "even" : "odd";
            Sending.sent(producer.send(new Message(topic, tag, Sending.bytes(tag + i))));
            if (tag.equals("even")) {
                wanted.add(tag + i);
            }
        }
        DefaultLitePullConsumer consumer = run.lite(group);
        consumer.subscribe(topic, "even");
        run.start(consumer);
        Check.equal(wanted, poll(consumer, wanted.size()), "bodies");
        consumer.commitSync();
        consumer.shutdown();
        // Odd ones after the last even one of a queue are not among what was polled.
        Run.await(() -> "committed offsets, now " + Offsets.stored(producer, group, topic),
                () -> Offsets.stored(producer, group, topic) >= 120 - 4);

        Sending.sent(producer.send(new Message(topic, "even", Sending.bytes("later"))));
        DefaultLitePullConsumer next = run.lite(group);
        next.subscribe(topic, "even");
        run.start(next);
        Check.equal(Set.of("later"), poll(next, 1), "bodies after a restart of the consumer");
        return Json.object("messages", wanted.size() + 1);
    }

    private static Object liteAssign(Run run) throws Exception {
        String topic = run.name("lite_assign");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        List<MessageQueue> queues = new ArrayList<>(producer.fetchPublishMessageQueues(topic));
        for (int i = 0; i < 40; i++) {
            Sending.sent(producer.send(Sending.message(topic, "lite " + i), queues.get(i % 2)));
        }
        DefaultLitePullConsumer consumer = run.lite(run.name("g_lite_assign"));
        consumer.setAutoCommit(false);
        run.start(consumer);
        consumer.assign(queues);
        Check.equal(40, poll(consumer, 40).size(), "messages from the beginning");
        consumer.seek(queues.get(0), 15);
        consumer.seek(queues.get(1), 20);
        Set<String> tail = new HashSet<>();
        for (int i = 15; i < 20; i++) {
            tail.add("lite " + i * 2);
        }
        Check.equal(tail, poll(consumer, 5), "messages after a seek");
        return Json.object("messages", 45);
    }

    private static Object classic(Run run) throws Exception {
        String topic = run.name("pull");
        String group = run.name("g_pull");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 1);
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        DefaultMQPullConsumer consumer = run.pull(group);

        Check.equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 0, 32).getPullStatus(), "pull of an empty queue");
        for (int i = 0; i < 50; i++) {
            Sending.sent(producer.send(new Message(topic, i % 2 == 0 ? "even" : "odd", Sending.bytes("pull " + i)), queue));
        }
        // Queues may be filled a moment after the log; from here on everything is in its place.
        Run.awaitOffset(producer, queue, 50);
        PullResult some = consumer.pull(queue, "*", 10, 5);
        Check.equal(PullStatus.FOUND, some.getPullStatus(), "status");
        Check.equal(5, some.getMsgFoundList().size(), "messages of a pull that asked for 5");
        Check.equal(10L, some.getMsgFoundList().get(0).getQueueOffset(), "first offset");
        Check.equal(15L, some.getNextBeginOffset(), "next offset");
        Check.equal(0L, some.getMinOffset(), "min offset");
        Check.equal(50L, some.getMaxOffset(), "max offset");

        PullResult odd = consumer.pull(queue, "odd", 0, 32);
        Check.equal(PullStatus.FOUND, odd.getPullStatus(), "status of a tag pull");
        for (MessageExt message : odd.getMsgFoundList()) {
            Check.equal("odd", message.getTags(), "tag");
        }
        PullResult none = consumer.pull(queue, "other", 0, 32);
        Check.equal(PullStatus.NO_MATCHED_MSG, none.getPullStatus(), "status when no tag matches");
        Check.equal(50L, none.getNextBeginOffset(), "next offset when no tag matches");
        Check.equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 50, 32).getPullStatus(), "status at the end");
        PullResult beyond = consumer.pull(queue, "*", 1_000, 32);
        Check.equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "status beyond the end");
        Check.equal(50L, beyond.getNextBeginOffset(), "corrected offset");

        BlockingQueue<Object> answer = new ArrayBlockingQueue<>(1);
        consumer.pullBlockIfNotFound(queue, "*", 50, 32, new PullCallback() {
            @Override
            public void onSuccess(PullResult result) {
                answer.add(result);
            }

            @Override
            public void onException(Throwable failure) {
                answer.add(failure);
            }
        });
        SendResult result = Sending.sent(producer.send(Sending.message(topic, "wake"), queue));
        Object woken = answer.poll(10, TimeUnit.SECONDS);
        Check.that(woken instanceof PullResult, "the parked pull was answered with " + woken);
        PullResult found = (PullResult) woken;
        Check.equal(PullStatus.FOUND, found.getPullStatus(), "status of the parked pull");
        Check.equal(result.getMsgId(), found.getMsgFoundList().get(0).getMsgId(), "message of the parked pull");

        consumer.updateConsumeOffset(queue, 33);
        consumer.getOffsetStore().persist(queue);
        Run.await("the stored offset", () -> Offsets.stored(producer, group, topic) == 33);
        Check.equal(33L, consumer.fetchConsumeOffset(queue, true), "stored offset as the client reads it");
        return Json.object("messages", 51);
    }

    private static Set<String> poll(DefaultLitePullConsumer consumer, int count) {
        Collection<String> received = new ArrayList<>();
        long deadline = System.nanoTime() + 40_000_000_000L;
        while (received.size() < count && System.nanoTime() < deadline) {
            consumer.poll(200).forEach(message -> received.add(Sending.text(message)));
        }
        Check.equal(count, received.size(), "messages polled");
        return new HashSet<>(received);
    }
}
