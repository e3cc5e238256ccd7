package cases;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * One language sends, the other receives. Both sides make the same messages from the same rule, so that nothing but
 * the broker carries them across.
 */
final class Cross {
    static final int MESSAGES = 40;

    private Cross() {}

    static void register(Map<String, Case> cases) {
        cases.put("cross-send", run -> send(run, run.name("cross_java")));
        cases.put("cross-receive-go", run -> receive(run, run.name("cross_go")));
        cases.put("cross-receive-java", run -> receive(run, run.name("cross_java")));
    }

    private static Object send(Run run, String topic) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        for (int i = 0; i < MESSAGES; i++) {
            Sending.sent(producer.send(message(topic, i)));
        }
        return Json.object("messages", MESSAGES);
    }

    private static Object receive(Run run, String topic) throws Exception {
        Map<String, MessageExt> received = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, "g_" + topic + "_by_" + Api.LINE, topic, "*",
                found -> received.put(found.getUserProperty("index"), found));
        run.start(consumer);
        Run.awaitSize("messages from the other side", received.keySet(), MESSAGES);
        Map<String, Integer> sizes = new HashMap<>();
        for (int i = 0; i < MESSAGES; i++) {
            Message wanted = message(topic, i);
            MessageExt found = received.get(Integer.toString(i));
            Check.that(Arrays.equals(wanted.getBody(), found.getBody()), "the body of " + i + " changed on its way");
            Check.equal(wanted.getTags(), found.getTags(), "tags of " + i);
            Check.equal(wanted.getKeys(), found.getKeys(), "keys of " + i);
            Check.equal(wanted.getUserProperty("\u540d"), found.getUserProperty("\u540d"), "property of " + i);
            sizes.put("largest", Math.max(sizes.getOrDefault("largest", 0), found.getBody().length));
        }
        return Json.object("messages", MESSAGES, "largestBody", sizes.get("largest"));
    }

    /** Message i: one of five tags, two keys, two properties, and a body of i * 1,000 bytes and a few. */
    static Message message(String topic, int i) {
        String body = "\u4f60\u597d " + i + " " + "0123456789".repeat(i * 100);
        Message message = new Message(topic, "tag\u03a9" + i % 5, Sending.bytes(body));
        message.setKeys("\u8ba2\u5355" + i + " key" + i);
        message.putUserProperty("index", Integer.toString(i));
        message.putUserProperty("\u540d", "\u503c \ud83d\ude80 " + i);
        return message;
    }
}
