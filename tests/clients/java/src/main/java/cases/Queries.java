package cases;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages by key and by id. */
final class Queries {
    private Queries() {}

    static void register(Map<String, Case> cases) {
        cases.put("query-by-key", Queries::byKey);
        cases.put("query-by-id", Queries::byId);
    }

    private static Object byKey(Run run) throws Exception {
        String topic = run.name("by_key");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        long before = System.currentTimeMillis() - 1_000;
        List<SendResult> results = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            results.add(Sending.sent(producer.send(new Message(topic, "tag", "shared key" + i, Sending.bytes("by key " + i)))));
        }
        List<MessageExt> shared = query(producer, topic, "shared", 64, before);
        Check.equal(20, shared.size(), "messages of the key that all have");
        for (int i = 0; i < 20; i++) {
            Check.equal("by key " + i, Sending.text(shared.get(i)), "message " + i + " in the order of the log");
        }
        List<MessageExt> newest = query(producer, topic, "shared", 3, before);
        Check.equal(3, newest.size(), "messages, three wanted");
        Check.equal("by key 17", Sending.text(newest.get(0)), "the oldest of the newest three");
        List<MessageExt> one = query(producer, topic, "key7", 32, before);
        Check.equal(1, one.size(), "messages of one key");
        Check.equal("by key 7", Sending.text(one.get(0)), "body by key");
        Check.equal(results.get(7).getQueueOffset(), one.get(0).getQueueOffset(), "offset by key");
        long storedMs = one.get(0).getStoreTimestamp();
        Check.equal(1, producer.queryMessage(topic, "key7", 32, storedMs, storedMs).getMessageList().size(),
                "messages of its own millisecond");
        nothing(producer, topic, "key7", before - 10_000, storedMs - 1);
        nothing(producer, topic, "key7", storedMs + 1, storedMs + 60_000);
        nothing(producer, topic, "key", before, storedMs + 60_000);
        return Json.object("messages", 20);
    }

    private static Object byId(Run run) throws Exception {
        String topic = run.name("by_id");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 2);
        Message message = new Message(topic, "tag", "k", Sending.bytes("by id"));
        SendResult result = Sending.sent(producer.send(message));
        for (String id : new String[] {result.getMsgId(), result.getOffsetMsgId()}) {
            MessageExt found = producer.viewMessage(topic, id);
            Check.equal("by id", Sending.text(found), "body by " + id);
            Check.equal(result.getQueueOffset(), found.getQueueOffset(), "offset by " + id);
            Check.equal(MessageClientIDSetter.getUniqID(message),
                    found.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX), "unique key by " + id);
        }
        Check.thrown(MQClientException.class, "an id that nobody has",
                () -> producer.viewMessage(topic, MessageClientIDSetter.createUniqID()));
        return Json.object("id", result.getMsgId());
    }

    private static List<MessageExt> query(DefaultMQProducer producer, String topic, String key, int max, long beginMs)
            throws Exception {
        QueryResult found = producer.queryMessage(topic, key, max, beginMs, System.currentTimeMillis() + 60_000);
        Check.that(found.getIndexLastUpdateTimestamp() >= beginMs, "the index is of this time");
        return found.getMessageList();
    }

    private static void nothing(DefaultMQProducer producer, String topic, String key, long beginMs, long endMs) {
        Check.thrown(MQClientException.class, "no message of key " + key + " between " + beginMs + " and " + endMs,
                () -> producer.queryMessage(topic, key, 32, beginMs, endMs));
    }
}
