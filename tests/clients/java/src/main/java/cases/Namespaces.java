package cases;

import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** Clients of a namespace: the same names in another one are others, retries and dead letters included. */
final class Namespaces {
    private Namespaces() {}

    static void register(Map<String, Case> cases) {
        cases.put("namespaces", Namespaces::namespaces);
    }

    private static Object namespaces(Run run) throws Exception {
        String topic = run.name("in_namespace");
        String group = run.name("g_in_namespace");
        Map<String, Set<String>> received = new ConcurrentHashMap<>();
        Map<Integer, String> deliveries = new ConcurrentHashMap<>();
        Collection<String> topics = new ConcurrentLinkedQueue<>();
        for (String namespace : List.of("one", "two")) {
            DefaultMQProducer producer = run.unstartedProducer();
            producer.setNamespace(namespace);
            run.start(producer);
            run.topic(producer, topic, 2);
            Set<String> mine = ConcurrentHashMap.newKeySet();
            received.put(namespace, mine);
            DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
            run.own(consumer);
            consumer.setNamespace(namespace);
            consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
            consumer.setMaxReconsumeTimes(1);
            consumer.setPollNameServerInterval(500);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                MessageExt message = messages.get(0);
                topics.add(message.getTopic());
                if (Sending.text(message).endsWith("bad")) {
                    deliveries.put(message.getReconsumeTimes(), Sending.text(message));
                    context.setDelayLevelWhenNextConsume(1);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                mine.add(Sending.text(message));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            run.start(consumer);
            Run.await("the consumer holds its queues and its retry queue", Run.nudging(consumer,
                    () -> Run.held(consumer, namespace + "%" + topic).size() == 2
                            && !Run.held(consumer, "%RETRY%" + namespace + "%" + group).isEmpty()));
            for (int i = 0; i < 20; i++) {
                SendResult result = Sending.sent(producer.send(Sending.message(topic, namespace + " " + i)));
                Check.equal(topic, result.getMessageQueue().getTopic(), "topic of a send, as the client tells it");
            }
            if (namespace.equals("two")) {
                Sending.sent(producer.send(Sending.message(topic, "two bad")));
            }
        }
        for (Map.Entry<String, Set<String>> entry : received.entrySet()) {
            Run.awaitSize("messages of namespace " + entry.getKey(), entry.getValue(), 20);
            Set<String> wanted = new HashSet<>();
            for (int i = 0; i < 20; i++) {
                wanted.add(entry.getKey() + " " + i);
            }
            Check.equal(wanted, entry.getValue(), "bodies in namespace " + entry.getKey());
        }
        Run.awaitSize("deliveries of the bad message", deliveries.keySet(), 2);
        List<MessageExt> letters = Log.read(run, "%DLQ%two%" + group, 1);
        Check.equal(1, letters.size(), "dead letters");
        Check.equal("two bad", Sending.text(letters.get(0)), "the dead letter");
        Check.equal(Set.of(topic), new HashSet<>(topics), "topics of messages, as the client tells them");
        return Json.object("each", 20);
    }
}
