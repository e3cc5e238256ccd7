package cases;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * What one broker stored, another one continues: the cases of the one that fills the first, and of those that look at
 * the next ones. What is to be there is in a ledger, the file {@code ledger} in the folder that {@code CASE_SIGNALS} names.
 */
final class Migration {
    private static final int DELETE_TOPIC_IN_BROKER = 215;
    private static final int UPDATE_CONSUMER_OFFSET = 15;
    private static final int PLAIN = 240;
    /** The client writes these into what it received; the last is the store's own checksum. */
    private static final Set<String> NOT_THE_MESSAGES = Set.of("MIN_OFFSET", "MAX_OFFSET", "__CRC32#");

    private Migration() {}

    static void register(Map<String, Case> cases) {
        cases.put("migration-fill", Migration::fill);
        cases.put("migration-compare", run -> compare(run));
        cases.put("migration-continue", Migration::goOn);
        cases.put("migration-return", Migration::comeBack);
    }

    private static String plain(Run run) {
        return run.name("mig_plain");
    }

    private static String delay(Run run) {
        return run.name("mig_delay");
    }

    private static String transactions(Run run) {
        return run.name("mig_transactions");
    }

    private static String popped(Run run) {
        return run.name("mig_pop");
    }

    /** Topics that nothing is added to by itself. */
    private static List<String> still(Run run) {
        return List.of(plain(run), run.name("mig_batch"), run.name("mig_order"), run.name("mig_again"), popped(run));
    }

    private static Object fill(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.topic(producer, plain(run), 4);
        for (int i = 0; i < PLAIN; i++) {
            Message message = Cross.message(plain(run), i % 40);
            message.setFlag(i);
            message.putUserProperty("number", Integer.toString(i));
            Sending.sent(producer.send(message));
        }

        String batches = run.name("mig_batch");
        run.topic(producer, batches, 2);
        for (int i = 0; i < 5; i++) {
            List<Message> batch = new ArrayList<>();
            for (int j = 0; j < 20; j++) {
                batch.add(new Message(batches, "tag" + j % 3, "key-" + j, Sending.bytes("batch " + i + " " + j)));
            }
            Sending.sent(producer.send(batch));
        }

        String ordered = run.name("mig_order");
        run.topic(producer, ordered, 3);
        for (int i = 0; i < 60; i++) {
            Sending.sent(producer.send(Sending.message(ordered, "order " + i % 6 + " " + i),
                    (queues, message, key) -> queues.get((Integer) key % queues.size()), i % 6));
        }

        // What the log holds of it at first is in no queue any more.
        String again = run.name("mig_again");
        run.topic(producer, again, 1);
        for (int i = 0; i < 7; i++) {
            Sending.sent(producer.send(Sending.message(again, "deleted " + i)));
        }
        MessageQueue first = producer.fetchPublishMessageQueues(again).get(0);
        Run.awaitOffset(producer, first, 7);
        call(producer, first.getBrokerName(), DELETE_TOPIC_IN_BROKER, "topic", again);
        run.topic(producer, again, 1);
        for (int i = 0; i < 3; i++) {
            Sending.sent(producer.send(Sending.message(again, "again " + i)));
        }

        run.topic(producer, delay(run), 2);
        Message soon = Sending.message(delay(run), "level 1");
        soon.setDelayTimeLevel(1);
        Sending.sent(producer.send(soon));

        run.topic(producer, transactions(run), 2);
        TransactionMQProducer transactional = run.transactional(run.name("p_mig"), new Decides(false));
        run.start(transactional);
        for (String body : List.of("commit now", "rollback now", "commit later", "rollback later")) {
            transactional.sendMessageInTransaction(Sending.message(transactions(run), body), null);
        }

        run.topic(producer, popped(run), 1);
        for (int i = 0; i < 10; i++) {
            Sending.sent(producer.send(Sending.message(popped(run), "pop " + i)));
        }
        MessageQueue popQueue = producer.fetchPublishMessageQueues(popped(run)).get(0);
        PopCaller caller = new PopCaller(Api.wire(producer), popQueue,
                Api.brokerAddress(producer, popQueue.getBrokerName()));
        List<MessageExt> out = new ArrayList<>();
        while (out.size() < 4) {
            PopResult result = caller.pop(run.name("g_mig_pop"), 4 - out.size(), 300_000, 5_000, null);
            out.addAll(result.getMsgFoundList() == null ? List.of() : result.getMsgFoundList());
        }
        for (MessageExt message : out.subList(0, 2)) {
            caller.ack(run.name("g_mig_pop"), PopCaller.handle(message));
        }

        // A group that has consumed half of it, and says so.
        Log.read(run, plain(run), PLAIN);
        DefaultMQPullConsumer member = run.pull(run.name("g_mig"));
        for (MessageQueue queue : producer.fetchPublishMessageQueues(plain(run))) {
            // By its first pull the broker gets to know the group.
            member.pull(queue, "*", 0, 1, 10_000);
            call(producer, queue.getBrokerName(), UPDATE_CONSUMER_OFFSET, "consumerGroup", run.name("g_mig"),
                    "topic", queue.getTopic(), "queueId", Integer.toString(queue.getQueueId()),
                    "commitOffset", Long.toString(half(queue)));
        }

        // Those that are out of time when the next broker starts, and those that are not, come last: the clock runs.
        Log.read(run, delay(run), 1);
        Message level = Sending.message(delay(run), "level 4");
        level.setDelayTimeLevel(4);
        Sending.sent(producer.send(level));
        Message timer = Sending.message(delay(run), "timer");
        timer.setDelayTimeSec(30);
        Sending.sent(producer.send(timer));
        return write(run, 0);
    }

    private static long half(MessageQueue queue) {
        return PLAIN / 8 + queue.getQueueId();
    }

    /** What is in the ledger is there, and in the topics that nothing is added to nothing else. */
    private static Map<String, Object> compare(Run run) throws Exception {
        Map<String, String> wanted = new TreeMap<>();
        for (String line : Files.readAllLines(ledger())) {
            String[] parts = line.split("\t", 2);
            wanted.put(parts[0], parts[1]);
        }
        Map<String, String> found = entries(run);
        for (Map.Entry<String, String> entry : wanted.entrySet()) {
            Check.equal(entry.getValue(), found.get(entry.getKey()), entry.getKey());
        }
        Set<String> more = new TreeSet<>(found.keySet());
        more.removeAll(wanted.keySet());
        more.removeIf(place -> still(run).stream().noneMatch(topic -> place.startsWith(topic + "/")));
        Check.that(more.isEmpty(), "nobody sent these: " + more);
        return Json.object("compared", wanted.size());
    }

    private static Object goOn(Run run) throws Exception {
        Map<String, Object> compared = compare(run);
        DefaultMQProducer producer = run.producer();
        long sum = 0;
        Map<Integer, Long> halves = new TreeMap<>();
        for (MessageQueue queue : producer.fetchPublishMessageQueues(plain(run))) {
            // So the client learns where the broker is.
            Check.equal((long) PLAIN / 4, producer.maxOffset(queue), "end of " + queue);
            sum += half(queue);
            halves.put(queue.getQueueId(), half(queue));
        }
        Check.equal(sum, Offsets.stored(producer, run.name("g_mig"), plain(run)), "the group's offsets");

        Collection<String> late = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer timed = Consuming.listening(run, run.name("g_mig_delay"), delay(run), "*",
                message -> late.add(Sending.text(message)));
        run.start(timed);
        Decides decides = new Decides(true);
        TransactionMQProducer transactional = asked(run, decides);
        Collection<String> committed = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer whole = Consuming.listening(run, run.name("g_mig_transactions"), transactions(run), "*",
                message -> committed.add(Sending.text(message)));
        run.start(whole);

        Set<String> received = ConcurrentHashMap.newKeySet();
        Queue<String> wrong = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, run.name("g_mig"), plain(run), "*", message -> {
            String place = message.getQueueId() + "/" + message.getQueueOffset();
            if (message.getQueueOffset() < halves.get(message.getQueueId()) || !received.add(place)) {
                wrong.add(place);
            }
        });
        run.start(consumer);
        Run.awaitSize("the other half", received, (int) (PLAIN - sum));
        Check.that(wrong.isEmpty(), "before the group's offset, or twice: " + wrong);
        consumer.shutdown();
        Run.await("the offsets are stored", () -> Offsets.stored(producer, run.name("g_mig"), plain(run)) == PLAIN);

        Set<String> again = new HashSet<>();
        MessageQueue popQueue = producer.fetchPublishMessageQueues(popped(run)).get(0);
        PopCaller caller = new PopCaller(Api.wire(producer), popQueue,
                Api.brokerAddress(producer, popQueue.getBrokerName()));
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (again.size() < 8 && System.nanoTime() < deadline) {
            PopResult result = caller.pop(run.name("g_mig_pop"), 8, 300_000, 1_000, null);
            for (MessageExt message : result.getMsgFoundList() == null ? List.<MessageExt>of() : result.getMsgFoundList()) {
                Check.that(again.add(Sending.text(message)), "popped twice: " + Sending.text(message));
                caller.ack(run.name("g_mig_pop"), PopCaller.handle(message));
            }
        }
        Set<String> open = new TreeSet<>();
        for (int i = 2; i < 10; i++) {
            open.add("pop " + i);
        }
        Check.equal(open, new TreeSet<>(again), "what was popped and not acknowledged, and what was not popped");

        Run.await(() -> "delayed messages, now " + late, () -> late.size() >= 3);
        Check.equal(List.of("level 1", "level 4", "timer"), late.stream().sorted().toList(), "delayed messages");
        Run.await(() -> "transactions, now " + committed + ", asked for " + decides.asked,
                () -> committed.size() >= 2 && decides.asked.size() >= 2);
        Check.equal(List.of("commit later", "commit now"), committed.stream().sorted().toList(), "committed");

        for (int i = 0; i < 40; i++) {
            Sending.sent(producer.send(Cross.message(plain(run), i)));
        }
        // What waits for its time and for its transaction goes back with the rest.
        Message level = Sending.message(delay(run), "back level 4");
        level.setDelayTimeLevel(4);
        Sending.sent(producer.send(level));
        Message timer = Sending.message(delay(run), "back timer");
        timer.setDelayTimeSec(30);
        Sending.sent(producer.send(timer));
        transactional.sendMessageInTransaction(Sending.message(transactions(run), "ask"), null);
        Map<String, Object> written = write(run, 40);
        written.putAll(compared);
        return written;
    }

    /** The first broker again, on what the second one has stored meanwhile. */
    private static Object comeBack(Run run) throws Exception {
        Map<String, Object> compared = compare(run);
        DefaultMQProducer producer = run.producer();
        for (MessageQueue queue : producer.fetchPublishMessageQueues(plain(run))) {
            producer.maxOffset(queue);
        }
        Check.equal((long) PLAIN, Offsets.stored(producer, run.name("g_mig"), plain(run)), "the group's offsets");
        Set<String> received = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = Consuming.listening(run, run.name("g_mig"), plain(run), "*",
                message -> received.add(message.getQueueId() + "/" + message.getQueueOffset()));
        run.start(consumer);
        Collection<String> late = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer timed = Consuming.listening(run, run.name("g_mig_delay"), delay(run), "*",
                message -> late.add(Sending.text(message)));
        run.start(timed);
        Decides decides = new Decides(true);
        TransactionMQProducer transactional = asked(run, decides);
        Run.awaitSize("what was sent meanwhile", received, 40);
        Run.await(() -> "delayed messages, now " + late, () -> late.size() >= 2);
        Check.equal(List.of("back level 4", "back timer"), late.stream().sorted().toList(), "delayed messages");
        Run.await(() -> "the transaction is asked for, now " + decides.asked, () -> !decides.asked.isEmpty());
        Check.equal(List.of("ask"), decides.asked.stream().distinct().toList(), "what is asked for");
        Check.equal(40, received.size(), "what the group had not consumed");
        return compared;
    }

    /** A producer that the broker can ask. One that sends nothing would make itself known only after half a minute. */
    private static TransactionMQProducer asked(Run run, Decides decides) throws Exception {
        TransactionMQProducer producer = run.transactional(run.name("p_mig"), decides);
        run.start(producer);
        producer.maxOffset(producer.fetchPublishMessageQueues(transactions(run)).get(0));
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        return producer;
    }

    /** Commits and rolls back by the first word of a body; at once, or when it is asked. */
    private static final class Decides implements TransactionListener {
        private final boolean answers;
        final Queue<String> asked = new ConcurrentLinkedQueue<>();

        Decides(boolean answers) {
            this.answers = answers;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object arg) {
            String body = new String(message.getBody());
            return body.endsWith("now") ? decision(body) : LocalTransactionState.UNKNOW;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            asked.add(Sending.text(message));
            return answers ? decision(Sending.text(message)) : LocalTransactionState.UNKNOW;
        }

        private static LocalTransactionState decision(String body) {
            return switch (body.split(" ")[0]) {
                case "commit" -> LocalTransactionState.COMMIT_MESSAGE;
                case "rollback" -> LocalTransactionState.ROLLBACK_MESSAGE;
                default -> LocalTransactionState.UNKNOW;
            };
        }
    }

    private static Path ledger() {
        return Path.of(System.getenv("CASE_SIGNALS")).resolve("ledger");
    }

    /** Writes down all that there is. */
    private static Map<String, Object> write(Run run, int more) throws Exception {
        Log.read(run, plain(run), PLAIN + more);
        Map<String, String> entries = entries(run);
        List<String> lines = new ArrayList<>();
        entries.forEach((place, entry) -> lines.add(place + "\t" + entry));
        Files.write(ledger(), lines);
        return Json.object("written", lines.size());
    }

    private static Map<String, String> entries(Run run) throws Exception {
        Map<String, String> entries = new TreeMap<>();
        List<String> topics = new ArrayList<>(still(run));
        topics.addAll(List.of(delay(run), transactions(run)));
        DefaultMQPullConsumer consumer = run.pull(run.name("ledger"));
        for (String topic : topics) {
            for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
                for (MessageExt message : Log.read(consumer, queue)) {
                    String place = topic + "/" + message.getQueueId() + "/" + message.getQueueOffset();
                    entries.put(place, entry(message));
                }
            }
        }
        consumer.shutdown();
        return entries;
    }

    /** All of a message that is to stay. */
    private static String entry(MessageExt message) throws Exception {
        Map<String, String> properties = new TreeMap<>(message.getProperties());
        properties.keySet().removeAll(NOT_THE_MESSAGES);
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(message.getBody());
        Map<String, Object> all = Json.object("body", HexFormat.of().formatHex(hash), "size", message.getBody().length,
                "born", message.getBornTimestamp(), "bornHost", message.getBornHostString(),
                "stored", message.getStoreTimestamp(), "storeHost", String.valueOf(message.getStoreHost()),
                "flag", message.getFlag(), "sysFlag", message.getSysFlag(),
                "reconsumed", message.getReconsumeTimes(), "id", message.getMsgId(), "properties", properties);
        return Json.write(all);
    }

    private static void call(DefaultMQProducer producer, String broker, int code, String... fields) throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, null);
        for (int i = 0; i < fields.length; i += 2) {
            request.addExtField(fields[i], fields[i + 1]);
        }
        RemotingCommand answer = Api.wire(producer).getRemotingClient()
                .invokeSync(Api.brokerAddress(producer, broker), request, 5_000);
        Check.equal(0, answer.getCode(), "answer to " + code + ", " + answer.getRemark());
    }
}
