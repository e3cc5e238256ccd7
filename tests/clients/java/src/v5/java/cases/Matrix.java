package cases;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Every client sends, every client receives: both by the rule of {@link Cross}, and each message once. Here are the two of Java, the
 * remoting one with each compression that it has; the topics must be there.
 */
final class Matrix {
    /** Who sends to a topic of the matrix; see tests/matrix.rs. */
    private static final List<String> SENDERS = List.of(
            "java-zlib", "java-lz4", "java-zstd", "go", "java-grpc", "go-grpc", "python", "node", "rust");

    private Matrix() {}

    static void register(Map<String, Case> cases) {
        cases.put("matrix-send", Matrix::send);
        cases.put("matrix-grpc-send", Matrix::sendByGrpc);
        for (String sender : SENDERS) {
            cases.put("matrix-receive-" + sender, run -> receive(run, sender));
            cases.put("matrix-grpc-receive-" + sender, run -> receiveByGrpc(run, sender));
        }
    }

    private static Object send(Run run) throws Exception {
        for (String kind : List.of("zlib", "lz4", "zstd")) {
            // Read when a producer is made.
            System.setProperty("rocketmq.message.compressType", kind.toUpperCase());
            var producer = run.producer();
            for (int i = 0; i < Cross.MESSAGES; i++) {
                Sending.sent(producer.send(Cross.message(topic(run, "java-" + kind), i)));
            }
        }
        return Json.object("messages", 3 * Cross.MESSAGES);
    }

    private static Object sendByGrpc(Run run) throws Exception {
        String topic = topic(run, "java-grpc");
        Producer producer = GrpcProducing.start(run, GrpcProducing.builder(run, topic));
        for (int i = 0; i < Cross.MESSAGES; i++) {
            producer.send(GrpcProducing.message(Cross.message(topic, i)));
        }
        return Json.object("messages", Cross.MESSAGES);
    }

    private static Object receive(Run run, String sender) throws Exception {
        String topic = topic(run, sender);
        ConcurrentLinkedQueue<MessageExt> received = new ConcurrentLinkedQueue<>();
        run.start(Consuming.listening(run, "g_" + topic + "_by_java", topic, "*", received::add));
        Run.awaitSize("messages of " + sender, received, Cross.MESSAGES);
        Map<String, MessageExt> found = new HashMap<>();
        for (MessageExt one : received) {
            Check.that(found.put(one.getUserProperty("index"), one) == null, one.getUserProperty("index") + " came again");
        }
        for (int i = 0; i < Cross.MESSAGES; i++) {
            Message wanted = Cross.message(topic, i);
            MessageExt one = found.get(Integer.toString(i));
            Check.that(Arrays.equals(wanted.getBody(), one.getBody()), "the body of " + i + " changed on its way");
            Check.equal(wanted.getTags(), one.getTags(), "tags of " + i);
            Check.equal(keys(wanted), keys(one), "keys of " + i);
            for (String name : List.of("index", "\u540d")) {
                Check.equal(wanted.getUserProperty(name), one.getUserProperty(name), "property of " + i);
            }
        }
        return Json.object("messages", found.size());
    }

    private static Object receiveByGrpc(Run run, String sender) throws Exception {
        String topic = topic(run, sender);
        SimpleConsumer consumer = ClientServiceProvider.loadService().newSimpleConsumerBuilder()
                .setClientConfiguration(GrpcProducing.configuration(run))
                .setConsumerGroup("g_" + topic + "_by_java-grpc")
                .setAwaitDuration(Duration.ofSeconds(5))
                .setSubscriptionExpressions(Map.of(topic, FilterExpression.SUB_ALL))
                .build();
        run.closing(() -> {
            try {
                consumer.close();
            } catch (Exception failure) {
                throw new IllegalStateException(failure);
            }
        });
        Map<String, MessageView> found = new HashMap<>();
        while (found.size() < Cross.MESSAGES) {
            for (MessageView one : consumer.receive(32, Duration.ofSeconds(30))) {
                String index = one.getProperties().get("index");
                Check.that(found.put(index, one) == null, index + " came again");
                consumer.ack(one);
            }
        }
        for (int i = 0; i < Cross.MESSAGES; i++) {
            Message wanted = Cross.message(topic, i);
            MessageView one = found.get(Integer.toString(i));
            Check.that(ByteBuffer.wrap(wanted.getBody()).equals(one.getBody()), "the body of " + i + " changed on its way");
            Check.equal(wanted.getTags(), one.getTag().orElse(null), "tag of " + i);
            Check.equal(keys(wanted), Set.copyOf(one.getKeys()), "keys of " + i);
            Check.equal(Map.of("index", Integer.toString(i), "\u540d", wanted.getUserProperty("\u540d")), one.getProperties(),
                    "properties of " + i);
            Check.equal(1, one.getDeliveryAttempt(), "delivery attempt of " + i);
        }
        return Json.object("messages", found.size());
    }

    private static String topic(Run run, String sender) {
        return run.name("matrix_" + sender);
    }

    private static Set<String> keys(Message message) {
        return Set.of(message.getKeys().split(" "));
    }
}
