package cases;

import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** What a message carries comes out as it went in: large, compressed, and with everything attached to it. */
final class Content {
    private Content() {}

    static void register(Map<String, Case> cases) {
        cases.put("big-body", Content::bigBody);
        cases.put("compressed", Content::compressed);
        cases.put("properties", Content::properties);
    }

    private static Object bigBody(Run run) throws Exception {
        String topic = run.name("big");
        DefaultMQProducer producer = run.unstartedProducer();
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        run.start(producer);
        byte[] body = new byte[3_900_000];
        new Random(7).nextBytes(body);
        Sending.sent(producer.send(new Message(topic, body)));
        MessageExt message = consumeOne(run, topic);
        Check.that(message.getStoreSize() > body.length, "stored as " + message.getStoreSize() + " bytes");
        Check.that(Arrays.equals(body, message.getBody()), "the body changed on its way");
        return Json.object("bytes", body.length);
    }

    private static Object compressed(Run run) throws Exception {
        Map<String, Object> stored = new LinkedHashMap<>();
        byte[] body = Sending.bytes("the quick brown fox jumps over the lazy dog. ".repeat(2_000));
        for (String kind : List.of("ZLIB", "LZ4", "ZSTD")) {
            // Read when a producer is made; clients that know only zlib do not look at it.
            System.setProperty("rocketmq.message.compressType", kind);
            String topic = run.name("compressed" + kind);
            Sending.sent(run.producer().send(new Message(topic, body)));
            MessageExt message = consumeOne(run, topic);
            Check.that(message.getStoreSize() < body.length / 4, "stored as " + message.getStoreSize() + " bytes");
            Check.that(Arrays.equals(body, message.getBody()), "the body changed on its way");
            stored.put(kind, message.getStoreSize());
        }
        return Json.object("bytes", body.length, "stored", stored);
    }

    private static Object properties(Run run) throws Exception {
        String topic = run.name("properties");
        DefaultMQProducer producer = run.producer();
        Message sent = new Message(topic, "\u6807\u7b7e-\u03a9", Sending.bytes("b\u00f6dy \u4f60\u597d \ud83d\ude80"));
        sent.setKeys(List.of("\u8ba2\u5355-1", "\u043a\u043b\u044e\u0447", "plain"));
        sent.setFlag(0x7f00_0001);
        sent.putUserProperty("\u540d\u5b57", "\u503c \ud83c\udf0d");
        sent.putUserProperty("json", "{\"a\":[1,2,{\"b\":\"c\\\\d\"}]}");
        sent.putUserProperty("spaces", "  two  spaces  ");
        sent.putUserProperty("long", "x".repeat(10_000));
        long before = System.currentTimeMillis();
        SendResult result = Sending.sent(producer.send(sent));
        long after = System.currentTimeMillis();

        MessageExt found = consumeOne(run, topic);
        Check.equal(topic, found.getTopic(), "topic");
        Check.that(Arrays.equals(sent.getBody(), found.getBody()), "the body changed on its way");
        Check.equal(sent.getTags(), found.getTags(), "tags");
        Check.equal(sent.getKeys(), found.getKeys(), "keys");
        Check.equal(sent.getFlag(), found.getFlag(), "flag");
        for (String name : List.of("\u540d\u5b57", "json", "spaces", "long")) {
            Check.equal(sent.getUserProperty(name), found.getUserProperty(name), "property " + name);
        }
        Check.equal(result.getMsgId(), found.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX), "unique id");
        Check.equal(result.getMsgId(), found.getMsgId(), "message id");
        Check.equal(result.getOffsetMsgId(), ((MessageClientExt) found).getOffsetMsgId(), "offset message id");
        Check.equal(result.getQueueOffset(), found.getQueueOffset(), "queue offset");
        Check.equal(result.getMessageQueue().getQueueId(), found.getQueueId(), "queue id");
        Check.equal(0, found.getReconsumeTimes(), "reconsume times");
        Check.equal(0L, found.getPreparedTransactionOffset(), "prepared transaction offset");
        Check.that(found.getBornTimestamp() >= before && found.getBornTimestamp() <= after,
                "born at " + found.getBornTimestamp() + ", sent from " + before + " to " + after);
        Check.that(found.getStoreTimestamp() >= before - 5 && found.getStoreTimestamp() <= after + 5,
                "stored at " + found.getStoreTimestamp() + ", sent from " + before + " to " + after);
        InetSocketAddress bornHost = (InetSocketAddress) found.getBornHost();
        Check.that(bornHost.getAddress().isLoopbackAddress() && bornHost.getPort() > 0, "born at host " + bornHost);
        InetSocketAddress storeHost = (InetSocketAddress) found.getStoreHost();
        Check.that(storeHost.getPort() > 0, "stored at host " + storeHost);
        Check.that(found.getProperty(MessageConst.PROPERTY_CLUSTER) != null, "no CLUSTER property");
        return Json.object("storeSize", found.getStoreSize(), "properties", found.getProperties().size());
    }

    private static MessageExt consumeOne(Run run, String topic) throws Exception {
        ConcurrentLinkedQueue<MessageExt> received = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = run.push(run.name("g_" + topic), topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            received.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.start(consumer);
        Run.awaitSize("message of " + topic, received, 1);
        Check.equal(1, received.size(), "messages of " + topic);
        return received.peek();
    }
}
