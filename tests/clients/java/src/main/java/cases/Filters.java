package cases;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Filters in SQL, by every kind of consumer; a broker that does not have them refuses. */
final class Filters {
    private static final String WANTED = "(TAGS IS NOT NULL AND TAGS IN ('even', 'other')) AND (a BETWEEN 10 AND 29)";

    private Filters() {}

    static void register(Map<String, Case> cases) {
        cases.put("sql-filter", Filters::sql);
    }

    private static Object sql(Run run) throws Exception {
        String topic = run.name("sql_filter");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        List<MessageQueue> queues = List.copyOf(producer.fetchPublishMessageQueues(topic));

        Set<String> pushed = ConcurrentHashMap.newKeySet();
        Set<String> unwanted = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer push = push(run, topic, "push", WANTED);
        push.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                String a = message.getUserProperty("a");
                boolean wanted = "even".equals(message.getTags()) && a != null && a.matches("[12][0-9]");
                (wanted ? pushed : unwanted).add(Sending.text(message));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.start(push);
        Run.await("the consumer holds its queues", () -> Run.held(push, topic).size() == 2);

        Set<String> wanted = new HashSet<>();
        for (int i = 0; i < 80; i++) {
            Message message = new Message(topic, i % 2 == 0 ? "even" : "odd", Sending.bytes("sql " + i));
            if (i < 60) {
                message.putUserProperty("a", Integer.toString(i));
            }
            Sending.sent(producer.send(message, queues.get(i / 2 % 2)));
            if (i % 2 == 0 && i >= 10 && i < 30) {
                wanted.add("sql " + i);
            }
        }
        Run.awaitSize("messages that the filter wants", pushed, wanted.size());

        DefaultLitePullConsumer lite = run.lite(run.name("g_sql_lite"));
        lite.subscribe(topic, MessageSelector.bySql(WANTED));
        run.start(lite);
        Set<String> polled = new HashSet<>();
        Run.await(() -> "polled " + polled, () -> {
            lite.poll(100).forEach(message -> polled.add(Sending.text(message)));
            return polled.size() >= wanted.size();
        });
        Check.equal(wanted, polled, "messages of the lite pull consumer");

        DefaultMQPullConsumer pull = run.pull(run.name("g_sql_pull"));
        Check.equal(PullStatus.FOUND, pull.pull(queues.get(0), "*", 0, 32).getPullStatus(), "status without a filter");
        // The client pulls by SQL from brokers only that it knows a version of, which a heartbeat's answer tells it.
        Run.await("a pull by SQL", () -> {
            try {
                return pull.pull(queues.get(0), MessageSelector.bySql("a = 0"), 0, 32).getPullStatus() == PullStatus.FOUND;
            } catch (Exception notYet) {
                return false;
            }
        });
        PullResult some = pull.pull(queues.get(0), MessageSelector.bySql("a > 55 AND NOT (a = 57)"), 0, 32);
        Check.equal(PullStatus.FOUND, some.getPullStatus(), "status of a pull");
        for (MessageExt message : some.getMsgFoundList()) {
            Check.that(List.of("56", "58", "59").contains(message.getUserProperty("a")), "pulled " + message);
        }
        PullResult none = pull.pull(queues.get(0), MessageSelector.bySql("a > 60"), 0, 32);
        Check.equal(PullStatus.NO_MATCHED_MSG, none.getPullStatus(), "status when nothing matches");
        Check.equal(40L, none.getNextBeginOffset(), "next offset when nothing matches");

        // What does not compile is refused when the consumer starts.
        DefaultMQPushConsumer wrong = push(run, topic, "wrong", "a > 5 AND b LIKE 'x%'");
        wrong.registerMessageListener(
                (MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        MQClientException refusal = Check.thrown(MQClientException.class, "a filter with LIKE", () -> run.start(wrong));
        wrong.shutdown();
        Check.equal(23, refusal.getResponseCode(), "code of the refusal");
        Check.that(refusal.getErrorMessage() != null && !refusal.getErrorMessage().isEmpty(), "a refusal without a reason");

        Check.equal(wanted, new HashSet<>(pushed), "messages of the push consumer");
        Check.equal(Set.of(), unwanted, "messages that no filter wants");
        return Json.object("messages", 80, "wanted", wanted.size(), "refusal", refusal.getErrorMessage());
    }

    private static DefaultMQPushConsumer push(Run run, String topic, String label, String expression) throws Exception {
        DefaultMQPushConsumer consumer = run.push(run.name("g_sql_" + label), topic, "*");
        // The later subscription counts.
        consumer.subscribe(topic, MessageSelector.bySql(expression));
        return consumer;
    }
}
