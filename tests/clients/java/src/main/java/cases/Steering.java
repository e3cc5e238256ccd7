package cases;

import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * What an administrator does with the consumers of a group: sending them back to earlier messages, asking how they are,
 * having one consume a message. The requests are made by hand, so that both client lines are on the other end of them.
 */
final class Steering {
    private static final int INVOKE_BROKER_TO_RESET_OFFSET = 222;
    private static final int INVOKE_BROKER_TO_GET_CONSUMER_STATUS = 223;
    private static final int GET_CONSUMER_RUNNING_INFO = 307;
    private static final int CONSUME_MESSAGE_DIRECTLY = 309;
    private static final int MESSAGES = 40;

    private Steering() {}

    static void register(Map<String, Case> cases) {
        cases.put("reset-online", Steering::resetOnline);
        cases.put("reset-offline", Steering::resetOffline);
        cases.put("ask-consumer", Steering::askConsumer);
    }

    /** A consumer that is connected goes back to the first message, and on from there. */
    private static Object resetOnline(Run run) throws Exception {
        String topic = run.name("reset_online");
        String group = "g_" + topic;
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Set<String> wanted = send(producer, topic, 0, MESSAGES);
        Collection<String> received = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, group, topic, "*",
                message -> received.add(Sending.text(message)));
        run.start(consumer);
        Run.awaitSize("messages", received, MESSAGES);
        consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
        awaitStored(producer, group, topic, MESSAGES);
        received.clear();

        long start = System.nanoTime();
        ok(reset(producer, topic, group, 0));
        // The client puts a queue away before it takes it up again elsewhere: 10 s in 4.9.
        Run.await(() -> "messages again: " + received.size() + " of " + MESSAGES,
                Run.nudging(consumer, () -> received.size() >= MESSAGES));
        long againMs = Run.millisSince(start);
        Check.equal(wanted, new TreeSet<>(received), "bodies of the second time");
        wanted.addAll(send(producer, topic, MESSAGES, MESSAGES + 10));
        Run.await(() -> "later messages: " + received.size(), () -> new HashSet<>(received).size() == MESSAGES + 10);
        consumer.shutdown();
        awaitStored(producer, group, topic, MESSAGES + 10);
        return Json.object("again", MESSAGES, "againMs", againMs);
    }

    /** Nobody is connected: the reset waits for whoever comes. */
    private static Object resetOffline(Run run) throws Exception {
        String topic = run.name("reset_offline");
        String group = "g_" + topic;
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Set<String> wanted = send(producer, topic, 0, MESSAGES);
        for (int round = 0; round < 2; round++) {
            Collection<String> received = new ConcurrentLinkedQueue<>();
            DefaultMQPushConsumer consumer = Consuming.listening(run, group, topic, "*",
                    message -> received.add(Sending.text(message)));
            run.start(consumer);
            Run.await(() -> "messages: " + received.size() + " of " + MESSAGES,
                    Run.nudging(consumer, () -> received.size() >= MESSAGES));
            Check.equal(wanted, new TreeSet<>(received), "bodies of round " + round);
            consumer.shutdown();
            awaitStored(producer, group, topic, MESSAGES);
            if (round == 0) {
                ok(reset(producer, topic, group, 0));
                Check.equal(0L, Offsets.stored(producer, group, topic), "offsets after the reset");
            }
        }
        return Json.object("messages", MESSAGES, "rounds", 2);
    }

    private static Object askConsumer(Run run) throws Exception {
        String topic = run.name("asked");
        String group = "g_" + topic;
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Collection<String> received = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, group, topic, "*",
                message -> received.add(Sending.text(message)));
        run.start(consumer);
        SendResult sent = Sending.sent(producer.send(Sending.message(topic, "asked")));
        Run.awaitSize("messages", received, 1);
        String client = consumer.buildMQClientId();

        RemotingCommand info = request(GET_CONSUMER_RUNNING_INFO, "consumerGroup", group, "clientId", client,
                "jstackEnable", "true");
        String text = body(ok(call(producer, topic, info)));
        for (String part : new String[] {"\"mqTable\":", "\"jstack\":", "\"subscriptionSet\":", "PROP_CLIENT_VERSION", topic}) {
            Check.that(text.contains(part), "running info says " + part + ": " + text);
        }

        RemotingCommand directly = request(CONSUME_MESSAGE_DIRECTLY, "consumerGroup", group, "clientId", client,
                "msgId", sent.getOffsetMsgId(), "topic", topic);
        text = body(ok(call(producer, topic, directly)));
        Check.that(text.contains("\"consumeResult\":\"CR_SUCCESS\""), "result of consuming directly: " + text);
        Check.equal(2, received.size(), "messages after consuming directly");

        RemotingCommand status = request(INVOKE_BROKER_TO_GET_CONSUMER_STATUS, "topic", topic, "group", group);
        text = body(ok(call(producer, topic, status)));
        Check.that(text.contains('"' + client + "\":{{"), "status of the group: " + text);

        RemotingCommand nobody = request(GET_CONSUMER_RUNNING_INFO, "consumerGroup", group, "clientId", "nobody",
                "jstackEnable", "false");
        RemotingCommand refused = call(producer, topic, nobody);
        Check.equal(1, refused.getCode(), "code for a client that is not there");
        return Json.object("client", client);
    }

    static Set<String> send(DefaultMQProducer producer, String topic, int from, int to) throws Exception {
        Set<String> bodies = new TreeSet<>();
        for (int i = from; i < to; i++) {
            bodies.add("steered " + i);
            Sending.sent(producer.send(Sending.message(topic, "steered " + i)));
        }
        return bodies;
    }

    static void awaitStored(DefaultMQProducer producer, String group, String topic, long offsets) throws Exception {
        Run.await(() -> "stored offsets " + offsets + ", now " + Offsets.stored(producer, group, topic),
                () -> Offsets.stored(producer, group, topic) == offsets);
    }

    private static RemotingCommand reset(DefaultMQProducer producer, String topic, String group, long timestamp)
            throws Exception {
        return call(producer, topic, request(INVOKE_BROKER_TO_RESET_OFFSET, "topic", topic, "group", group,
                "timestamp", Long.toString(timestamp), "isForce", "true"));
    }

    private static RemotingCommand request(int code, String... fields) {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, null);
        for (int i = 0; i < fields.length; i += 2) {
            request.addExtField(fields[i], fields[i + 1]);
        }
        return request;
    }

    private static RemotingCommand call(DefaultMQProducer producer, String topic, RemotingCommand request)
            throws Exception {
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        String address = Api.brokerAddress(producer, queue.getBrokerName());
        return Api.wire(producer).getRemotingClient().invokeSync(address, request, 15_000);
    }

    private static RemotingCommand ok(RemotingCommand answer) {
        Check.equal(0, answer.getCode(), "code of an answer that says: " + answer.getRemark());
        return answer;
    }

    private static String body(RemotingCommand answer) {
        return new String(answer.getBody(), StandardCharsets.UTF_8);
    }
}
