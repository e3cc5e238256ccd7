package cases;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Reads a topic as it lies on the broker, queue by queue, from the smallest offset to the largest. */
final class Log {
    private Log() {}

    /** Everything in the topic, once that is at least so many: queues may be filled a moment after a send. */
    static List<MessageExt> read(Run run, String topic, int count) throws Exception {
        DefaultMQPullConsumer consumer = run.pull(run.name("reader"));
        awaitSize(consumer, topic, count);
        List<MessageExt> all = new ArrayList<>();
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            all.addAll(read(consumer, queue));
        }
        return all;
    }

    static List<MessageExt> read(DefaultMQPullConsumer consumer, MessageQueue queue) throws Exception {
        List<MessageExt> all = new ArrayList<>();
        long next = consumer.minOffset(queue);
        long end = consumer.maxOffset(queue);
        while (next < end) {
            PullResult result = consumer.pull(queue, "*", next, 32, 10_000);
            Check.equal(PullStatus.FOUND, result.getPullStatus(), "pull at " + next + " of " + end);
            for (MessageExt message : result.getMsgFoundList()) {
                Check.equal(next, message.getQueueOffset(), "queue offset");
                Check.equal(queue.getQueueId(), message.getQueueId(), "queue id");
                all.add(message);
                next++;
            }
            Check.equal(next, result.getNextBeginOffset(), "next begin offset");
        }
        return all;
    }

    static void awaitSize(DefaultMQPullConsumer consumer, String topic, int count) throws Exception {
        Run.await(count + " messages in " + topic, () -> {
            try {
                return size(consumer, topic) >= count;
            } catch (Exception notYet) {
                return false;
            }
        });
    }

    /** How many messages the topic's queues hold. */
    private static long size(DefaultMQPullConsumer consumer, String topic) throws Exception {
        long size = 0;
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            size += consumer.maxOffset(queue) - consumer.minOffset(queue);
        }
        return size;
    }
}
