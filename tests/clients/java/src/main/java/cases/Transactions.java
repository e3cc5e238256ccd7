package cases;

import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Transactions: what is committed is there once, what is rolled back never, and whoever does not know is asked. */
final class Transactions {
    private Transactions() {}

    static void register(Map<String, Case> cases) {
        cases.put("transactions", Transactions::transactions);
    }

    /** Decides by the first word of a body, and by its second when asked. */
    private static final class Listener implements TransactionListener {
        final Queue<MessageExt> asked = new ConcurrentLinkedQueue<>();

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object arg) {
            return decision(new String(message.getBody()), 0);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            asked.add(message);
            return decision(Sending.text(message), 1);
        }

        private static LocalTransactionState decision(String body, int word) {
            return switch (body.split(" ")[word]) {
                case "commit" -> LocalTransactionState.COMMIT_MESSAGE;
                case "rollback" -> LocalTransactionState.ROLLBACK_MESSAGE;
                default -> LocalTransactionState.UNKNOW;
            };
        }
    }

    private static Object transactions(Run run) throws Exception {
        String topic = run.name("transactions");
        DefaultMQProducer plain = run.producer();
        run.topic(plain, topic, 3);
        Listener listener = new Listener();
        TransactionMQProducer producer = run.transactional(run.name("p_transactions"), listener);
        run.start(producer);
        Map<String, MessageExt> received = new ConcurrentHashMap<>();
        Queue<String> twice = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = Consuming.listening(run, run.name("g_transactions"), topic, "*", message -> {
            if (received.put(Sending.text(message), message) != null) {
                twice.add(Sending.text(message));
            }
        });
        run.start(consumer);

        Map<String, TransactionSendResult> committed = new TreeMap<>();
        for (int i = 0; i < 60; i++) {
            String body = List.of("commit -", "rollback -", "unknown commit", "unknown rollback").get(i % 4) + " " + i;
            Message message = new Message(topic, "tag", "key" + i, Sending.bytes(body));
            if (body.startsWith("unknown")) {
                message.putUserProperty("CHECK_IMMUNITY_TIME_IN_SECONDS", "1");
            }
            TransactionSendResult result = producer.sendMessageInTransaction(message, null);
            Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
            Check.equal(result.getMsgId(), result.getTransactionId(), "transaction id");
            Check.equal(topic, result.getMessageQueue().getTopic(), "topic of the answer");
            if (body.contains("commit")) {
                committed.put(body, result);
            }
        }
        Run.await(() -> received.size() + " of " + committed.size() + " committed, " + listener.asked.size() + " asked for",
                () -> received.size() >= committed.size() && listener.asked.size() >= 30);
        for (MessageExt question : listener.asked) {
            Check.that(Sending.text(question).startsWith("unknown"), "asked for " + Sending.text(question));
            Check.equal(topic, question.getTopic(), "topic of a question");
            Check.equal("1", question.getProperty("TRANSACTION_CHECK_TIMES"), "how often it was asked for");
            Check.equal(question.getProperty("UNIQ_KEY"), question.getTransactionId(), "transaction id of a question");
        }
        Check.equal(30, listener.asked.size(), "questions");

        List<MessageExt> found = Log.read(run, topic, committed.size());
        Check.equal(committed.keySet(), Sending.bodies(found), "what is in the log");
        Check.equal(committed.size(), found.size(), "messages in the log");
        for (MessageExt message : found) {
            TransactionSendResult result = committed.get(Sending.text(message));
            Check.equal(result.getMsgId(), message.getMsgId(), "message id");
            Check.equal(result.getMessageQueue().getQueueId(), message.getQueueId(), "queue");
            Check.equal(0x8, message.getSysFlag() & 0xC, "transaction type");
            long half = message.getPreparedTransactionOffset();
            Check.that(half > 0 && half < message.getCommitLogOffset(), "position of the half message: " + half);
        }
        Check.equal(committed.keySet(), new TreeMap<>(received).keySet(), "what was received");
        Check.that(twice.isEmpty(), "received twice: " + twice);
        MessageExt one = received.values().stream().max(Comparator.comparing(Sending::text)).orElseThrow();
        Check.equal(one.getMsgId(), one.getTransactionId(), "transaction id of what was received");
        return Json.object("committed", committed.size(), "asked", listener.asked.size());
    }
}
