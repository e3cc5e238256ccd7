package cases;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;

/**
 * The gRPC client sends, the remoting client looks at what lies on the broker. Topics are made by remoting, as the gRPC client
 * makes none.
 */
final class GrpcProducing {
    private static final ClientServiceProvider GRPC = ClientServiceProvider.loadService();
    /** As the client is set up by default, unless the test wants it plain. */
    private static final boolean ENCRYPTED = System.getenv("CASES_PLAIN") == null;

    private GrpcProducing() {}

    static void register(Map<String, Case> cases) {
        cases.put("grpc-send", GrpcProducing::send);
        cases.put("grpc-async", GrpcProducing::async);
        cases.put("grpc-fifo", GrpcProducing::fifo);
        cases.put("grpc-delay", GrpcProducing::delay);
        cases.put("grpc-priority", GrpcProducing::priority);
        cases.put("grpc-transactions", GrpcProducing::transactions);
        cases.put("grpc-refused", GrpcProducing::refused);
        for (String language : List.of("go", "python", "node", "rust")) {
            cases.put("grpc-topics-" + language, run -> topics(run, language));
            cases.put("grpc-groups-" + language, run -> groups(run, language));
            cases.put("grpc-read-dead-letter-" + language, run -> dead(run, sentBy(run, language, "dead")));
            cases.put("grpc-read-ordered-" + language, run -> dead(run, sentBy(run, language, "ordered")));
            cases.put("grpc-read-send-" + language,
                    run -> Json.object("messages", crossed(run, sentBy(run, language, "cross")).size()));
            cases.put("grpc-read-async-" + language, run -> all(run, sentBy(run, language, "async"), 500));
            cases.put("grpc-read-fifo-" + language, run -> ordered(run, sentBy(run, language, "fifo")));
            cases.put("grpc-read-delay-" + language, run -> punctual(run, sentBy(run, language, "delay")));
            cases.put("grpc-read-priority-" + language, run -> urgent(run, sentBy(run, language, "priority")));
            cases.put("grpc-read-transactions-" + language, run -> decided(run, sentBy(run, language, "transactions")));
        }
    }

    /** The topics that a program in another language sends to. */
    private static Object topics(Run run, String language) throws Exception {
        DefaultMQProducer admin = run.producer();
        topic(run, admin, sentBy(run, language, "cross"), 4, "NORMAL");
        topic(run, admin, sentBy(run, language, "async"), 4, "NORMAL");
        topic(run, admin, sentBy(run, language, "fifo"), 4, "FIFO");
        topic(run, admin, sentBy(run, language, "delay"), 1, "DELAY");
        topic(run, admin, sentBy(run, language, "priority"), 4, "PRIORITY");
        topic(run, admin, sentBy(run, language, "transactions"), 2, "TRANSACTION");
        return Json.object("topics", 6);
    }

    /** What programs in other languages receive from, and the groups that they do it in. */
    private static Object groups(Run run, String language) throws Exception {
        DefaultMQProducer admin = run.producer();
        topic(run, admin, sentBy(run, language, "simple"), 2, "NORMAL");
        topic(run, admin, sentBy(run, language, "push"), 4, "NORMAL");
        topic(run, admin, sentBy(run, language, "dead"), 1, "NORMAL");
        topic(run, admin, sentBy(run, language, "ordered"), 4, "FIFO");
        String first = sentBy(run, language, "dead");
        admin.getDefaultMQProducerImpl().getMqClientFactory().updateTopicRouteInfoFromNameServer(first);
        String broker = Api.brokerAddress(admin, admin.fetchPublishMessageQueues(first).get(0).getBrokerName());
        for (String kind : List.of("dead", "ordered")) {
            SubscriptionGroupConfig group = new SubscriptionGroupConfig();
            group.setGroupName("g_" + sentBy(run, language, kind));
            group.setConsumeMessageOrderly(kind.equals("ordered"));
            group.setRetryMaxTimes(1);
            Api.wire(admin).createSubscriptionGroup(broker, group, 5_000);
        }
        return Json.object("topics", 4, "groups", 2);
    }

    /** The one message that failed as often as its group allows. */
    private static Object dead(Run run, String topic) throws Exception {
        List<MessageExt> found = Log.read(run, "%DLQ%g_" + topic, 1);
        Check.equal(1, found.size(), "dead letters");
        Check.equal("bad", Sending.text(found.get(0)), "body of the dead letter");
        Check.equal(topic, found.get(0).getProperty("DLQ_ORIGIN_TOPIC"), "where it comes from");
        return Json.object("deadLetters", found.size());
    }

    private static String sentBy(Run run, String language, String kind) {
        return run.name("grpc_" + kind + "_" + language);
    }

    private static Object send(Run run) throws Exception {
        String topic = run.name("grpc_cross_java");
        topic(run, run.producer(), topic, 4, "NORMAL");
        Producer producer = start(run, builder(run, topic));
        Map<String, String> ids = new HashMap<>();
        for (int i = 0; i < Cross.MESSAGES; i++) {
            SendReceipt receipt = producer.send(message(Cross.message(topic, i)));
            ids.put(Integer.toString(i), receipt.getMessageId().toString());
        }
        Map<String, MessageExt> found = crossed(run, topic);
        ids.forEach((index, id) -> Check.equal(id, found.get(index).getMsgId(), "message id of " + index));
        return Json.object("messages", found.size());
    }

    private static Object async(Run run) throws Exception {
        String topic = run.name("grpc_async");
        int count = 2_000;
        run.topic(run.producer(), topic, 4);
        Producer producer = start(run, builder(run, topic));
        List<CompletableFuture<SendReceipt>> sends = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            sends.add(producer.sendAsync(plain(topic).setBody(Sending.bytes("async " + i)).build()));
        }
        for (CompletableFuture<SendReceipt> sent : sends) {
            sent.get();
        }
        return all(run, topic, count);
    }

    private static Object fifo(Run run) throws Exception {
        String topic = run.name("grpc_fifo_java");
        topic(run, run.producer(), topic, 4, "FIFO");
        Producer producer = start(run, builder(run, topic));
        for (int i = 0; i < 100; i++) {
            String group = "group " + i % 5;
            producer.send(plain(topic).setMessageGroup(group).setBody(Sending.bytes(group + " " + i)).build());
        }
        return ordered(run, topic);
    }

    private static Object delay(Run run) throws Exception {
        String topic = run.name("grpc_delay");
        topic(run, run.producer(), topic, 1, "DELAY");
        Producer producer = start(run, builder(run, topic));
        long due = System.currentTimeMillis() + 2_000;
        producer.send(plain(topic).setDeliveryTimestamp(due).setBody(Sending.bytes("later " + due)).build());
        return punctual(run, topic);
    }

    private static Object priority(Run run) throws Exception {
        String topic = run.name("grpc_priority_java");
        topic(run, run.producer(), topic, 4, "PRIORITY");
        Producer producer = start(run, builder(run, topic));
        for (int priority = 1; priority < 4; priority++) {
            producer.send(plain(topic).setPriority(priority).setBody(Sending.bytes("priority " + priority)).build());
        }
        return urgent(run, topic);
    }

    private static Object transactions(Run run) throws Exception {
        String topic = run.name("grpc_transactions_java");
        topic(run, run.producer(), topic, 2, "TRANSACTION");
        Queue<String> asked = new ConcurrentLinkedQueue<>();
        TransactionChecker checker = view -> {
            byte[] body = new byte[view.getBody().remaining()];
            view.getBody().get(body);
            String text = new String(body);
            asked.add(text);
            return text.contains("commit") ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
        };
        // Rightly asked for, too: a machine under load was slow to decide them.
        Set<String> slow = new HashSet<>();
        Producer producer = start(run, builder(run, topic).setTransactionChecker(checker));
        for (int i = 0; i < 20; i++) {
            long begin = System.nanoTime();
            String body = List.of("commit", "rollback", "late commit", "late rollback").get(i % 4) + " " + i;
            Transaction transaction = producer.beginTransaction();
            producer.send(plain(topic).setKeys("key" + i).setBody(Sending.bytes(body)).build(), transaction);
            if (body.startsWith("commit")) {
                transaction.commit();
            } else if (body.startsWith("rollback")) {
                transaction.rollback();
            }
            if (System.nanoTime() - begin > 500_000_000) {
                slow.add(body);
            }
        }
        Run.await(() -> "10 transactions to be asked for, now " + asked,
                () -> asked.stream().filter(body -> body.startsWith("late")).distinct().count() == 10);
        Object detail = decided(run, topic);
        asked.forEach(body -> Check.that(body.startsWith("late") || slow.contains(body), "asked for " + body));
        return detail;
    }

    private static Object refused(Run run) throws Exception {
        DefaultMQProducer admin = run.producer();
        String topic = run.name("grpc_refused");
        topic(run, admin, topic, 1, "NORMAL");
        // Its client gives up by another exception, after trying for a while.
        Check.thrown(IllegalStateException.class, "a producer of a topic that does not exist",
                () -> builder(run, run.name("grpc_nowhere")).build());
        Producer producer = start(run, builder(run, topic));
        Check.thrown(IllegalArgumentException.class, "an ordered message to a normal topic",
                () -> producer.send(plain(topic).setMessageGroup("g").setBody(new byte[] {1}).build()));
        Check.thrown(ClientException.class, "a body of more than 4 MiB",
                () -> producer.send(plain(topic).setBody(new byte[(4 << 20) + 1]).build()));
        Check.thrown(ClientException.class, "a name that is reserved",
                () -> producer.send(plain(topic).addProperty("UNIQ_KEY", "x").setBody(new byte[] {1}).build()));
        producer.send(plain(topic).setBody(new byte[4 << 20]).build());
        Check.equal(4 << 20, Log.read(run, topic, 1).get(0).getBody().length, "the largest body");
        return Json.object("refused", 4);
    }

    /** What a gRPC client has sent by the rule of {@link Cross}, as the remoting client finds it. */
    private static Map<String, MessageExt> crossed(Run run, String topic) throws Exception {
        Map<String, MessageExt> found = new HashMap<>();
        for (MessageExt one : Log.read(run, topic, Cross.MESSAGES)) {
            Check.that(found.put(one.getUserProperty("index"), one) == null, one.getUserProperty("index") + " is there twice");
        }
        Check.equal(Cross.MESSAGES, found.size(), "messages");
        for (int i = 0; i < Cross.MESSAGES; i++) {
            org.apache.rocketmq.common.message.Message wanted = Cross.message(topic, i);
            MessageExt one = found.get(Integer.toString(i));
            Check.that(Arrays.equals(wanted.getBody(), one.getBody()), "the body of " + i + " changed on its way");
            Check.equal(wanted.getTags(), one.getTags(), "tags of " + i);
            // Python's client has them in a set: in whatever order.
            Check.equal(Set.of(wanted.getKeys().split(" ")), Set.of(one.getKeys().split(" ")), "keys of " + i);
            Check.equal(wanted.getUserProperty("\u540d"), one.getUserProperty("\u540d"), "property of " + i);
        }
        return found;
    }

    /** Messages that differ, so many and no more. */
    private static Object all(Run run, String topic, int count) throws Exception {
        List<MessageExt> found = Log.read(run, topic, count);
        Check.equal(count, Sending.bodies(found).size(), "different bodies");
        Check.equal(count, found.size(), "messages in the log");
        return Json.object("messages", count);
    }

    /** One message, not before the time that its body names. */
    private static Object punctual(Run run, String topic) throws Exception {
        List<MessageExt> found = Log.read(run, topic, 1);
        Check.equal(1, found.size(), "messages in the log");
        long late = found.get(0).getStoreTimestamp() - Long.parseLong(Sending.text(found.get(0)).split(" ")[1]);
        Check.that(late >= 0, "delivered " + -late + " ms early");
        return Json.object("lateMs", late);
    }

    /** One message of each priority, 1 to 3 of four: the more urgent, the higher the queue. */
    private static Object urgent(Run run, String topic) throws Exception {
        List<MessageExt> found = Log.read(run, topic, 3);
        Check.equal(3, found.size(), "messages in the log");
        for (MessageExt message : found) {
            String priority = Sending.text(message).split(" ")[1];
            Check.equal(priority, message.getProperty("_SYS_MSG_PRIORITY_"), "priority");
            Check.equal(Integer.parseInt(priority), message.getQueueId(), "queue of priority " + priority);
        }
        return Json.object("messages", found.size());
    }

    /** Each message group in one queue, in order: bodies are "group N I" with a growing I. */
    private static Object ordered(Run run, String topic) throws Exception {
        Map<String, Integer> queues = new TreeMap<>();
        Map<String, Integer> last = new HashMap<>();
        for (MessageExt message : Log.read(run, topic, 100)) {
            String[] words = Sending.text(message).split(" ");
            String group = words[0] + " " + words[1];
            Check.equal(group, message.getProperty("__SHARDINGKEY"), "message group");
            Check.equal(message.getQueueId(), queues.computeIfAbsent(group, first -> message.getQueueId()), "queue");
            int index = Integer.parseInt(words[2]);
            Check.that(index > last.getOrDefault(group, -1), Sending.text(message) + " after " + last.get(group));
            last.put(group, index);
        }
        Check.equal(5, queues.size(), "message groups");
        return Json.object("queues", queues.toString());
    }

    /** Of 20 transactions those are there that were committed, at once or when asked for. */
    private static Object decided(Run run, String topic) throws Exception {
        List<MessageExt> found = Log.read(run, topic, 10);
        TreeSet<String> wanted = new TreeSet<>();
        for (int i = 0; i < 20; i += 4) {
            wanted.addAll(List.of("commit " + i, "late commit " + (i + 2)));
        }
        Check.equal(wanted, new TreeSet<>(Sending.bodies(found)), "what was committed");
        Check.equal(wanted.size(), found.size(), "messages in the log");
        return Json.object("committed", found.size());
    }

    static Message message(org.apache.rocketmq.common.message.Message from) {
        MessageBuilder builder = plain(from.getTopic()).setBody(from.getBody()).setTag(from.getTags())
                .setKeys(from.getKeys().split(" "));
        for (String name : List.of("index", "\u540d")) {
            builder.addProperty(name, from.getUserProperty(name));
        }
        return builder.build();
    }

    static MessageBuilder plain(String topic) {
        return GRPC.newMessageBuilder().setTopic(topic);
    }

    static ClientConfiguration configuration(Run run) {
        return ClientConfiguration.newBuilder().setEndpoints(run.grpc()).enableSsl(ENCRYPTED)
                .setRequestTimeout(Duration.ofSeconds(10)).build();
    }

    static ProducerBuilder builder(Run run, String topic) {
        return GRPC.newProducerBuilder().setClientConfiguration(configuration(run)).setTopics(topic).setMaxAttempts(1);
    }

    static Producer start(Run run, ProducerBuilder builder) throws Exception {
        Producer producer = builder.build();
        run.closing(() -> {
            try {
                producer.close();
            } catch (Exception failure) {
                throw new IllegalStateException(failure);
            }
        });
        return producer;
    }

    private static void topic(Run run, DefaultMQProducer admin, String topic, int queues, String type)
            throws Exception {
        Shapes.topic(run, admin, topic, queues, "message.type", type);
    }
}
