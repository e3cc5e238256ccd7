package cases;

import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.body.CMResult;
import org.apache.rocketmq.remoting.protocol.body.ConsumerRunningInfo;
import org.apache.rocketmq.remoting.protocol.body.QueryConsumeQueueResponseBody;
import org.apache.rocketmq.remoting.protocol.body.QueueTimeSpan;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What Apache's tools for administrators ask of groups and their consumers, read by their own classes. */
final class Admin {
    private static final int MESSAGES = 40;

    private Admin() {}

    static void register(Map<String, Case> cases) {
        cases.put("admin-group", Admin::group);
    }

    private static Object group(Run run) throws Exception {
        String topic = run.name("admin");
        String group = "g_" + topic;
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Set<String> wanted = Steering.send(producer, topic, 0, MESSAGES);
        Collection<String> received = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, group, topic, "*",
                message -> received.add(Sending.text(message)));
        run.start(consumer);
        Run.awaitSize("messages", received, MESSAGES);
        String client = consumer.buildMQClientId();
        DefaultMQAdminExt admin = new DefaultMQAdminExt(15_000);
        run.own(admin, admin::shutdown);
        admin.start();
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        String broker = Api.brokerAddress(producer, queues.get(0).getBrokerName());

        ConsumerRunningInfo info = admin.getConsumerRunningInfo(group, client, true);
        Check.equal(2L, info.getMqTable().keySet().stream().filter(queue -> queue.getTopic().equals(topic)).count(),
                "queues in the running info");
        Check.that(info.getJstack().contains("main"), "threads in the running info");

        SendResult last = Sending.sent(producer.send(Sending.message(topic, "directly")));
        Run.awaitSize("messages", received, MESSAGES + 1);
        var directly = admin.consumeMessageDirectly(group, client, topic, last.getOffsetMsgId());
        Check.equal(CMResult.CR_SUCCESS, directly.getConsumeResult(), "result of consuming directly");
        Check.equal(MESSAGES + 2, received.size(), "messages after consuming directly");

        Map<String, Map<MessageQueue, Long>> status = admin.getConsumeStatus(topic, group, client);
        Check.equal(new HashSet<>(queues), status.get(client).keySet(), "queues in the status");

        consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
        Steering.awaitStored(producer, group, topic, MESSAGES + 1);
        List<QueueTimeSpan> spans = admin.queryConsumeTimeSpan(topic, group);
        Check.equal(2, spans.size(), "time spans");
        Check.that(spans.stream().allMatch(span -> span.getMinTimeStamp() <= span.getMaxTimeStamp()), "time spans: " + spans);
        Check.equal("*", admin.querySubscription(group, topic).getSubString(), "subscription");
        QueryConsumeQueueResponseBody entries = admin.queryConsumeQueue(broker, topic, 0, 0, 5, group);
        Check.equal(5, entries.getQueueData().size(), "entries of a queue");
        Check.that(admin.getAllProducerInfo(broker).getData().containsKey(producer.getProducerGroup()), "all producers");
        Check.that(admin.fetchConsumeStatsInBroker(broker, false, 5_000).getConsumeStatsList().stream()
                .anyMatch(groups -> groups.containsKey(group)), "statistics of all groups");

        String copy = group + "_copy";
        admin.cloneGroupOffset(group, copy, topic, false);
        Check.equal((long) MESSAGES + 1, Offsets.stored(producer, copy, topic), "cloned offsets");

        received.clear();
        Map<MessageQueue, Long> reset = admin.resetOffsetByTimestamp(topic, group, 0, true);
        Check.equal(new HashSet<>(queues), reset.keySet(), "queues that were reset");
        Check.that(reset.values().stream().allMatch(offset -> offset == 0), "offsets of the reset: " + reset);
        wanted.add("directly");
        Run.await(() -> "messages again: " + received.size(),
                Run.nudging(consumer, () -> new TreeSet<>(received).equals(wanted)));
        consumer.shutdown();
        Steering.awaitStored(producer, group, topic, MESSAGES + 1);

        // Nobody is connected now.
        admin.resetOffsetByQueueId(broker, group, topic, 0, 3);
        reset = admin.resetOffsetByTimestamp(topic, group, -1, true);
        Check.equal((long) MESSAGES + 1, reset.values().stream().mapToLong(Long::longValue).sum(), "ends of the queues");
        return Json.object("client", client, "again", received.size());
    }
}
