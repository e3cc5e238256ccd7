package cases;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Creating topics, asking for offsets and messages, and what is answered to things that cannot be done. */
final class Asking {
    private static final int REQUEST_CODE_NOT_SUPPORTED = 3;
    private static final int MESSAGE_ILLEGAL = 13;
    private static final int TOPIC_NOT_EXIST = 17;
    private static final int INVALID_PARAMETER = 29;

    private Asking() {}

    static void register(Map<String, Case> cases) {
        cases.put("create-topic", Asking::createTopic);
        cases.put("queries-basic", Asking::queriesBasic);
        cases.put("errors", Asking::errors);
    }

    private static Object createTopic(Run run) throws Exception {
        String topic = run.name("create");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 3);
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        Check.equal(3, queues.size(), "queues");
        for (MessageQueue queue : queues) {
            Check.equal(0L, producer.maxOffset(queue), "max offset of a new queue");
            Check.equal(0L, producer.minOffset(queue), "min offset of a new queue");
        }
        // Creating it once more with more queues widens it.
        run.topic(producer, topic, 5);
        return Json.object("queues", 5);
    }

    private static Object queriesBasic(Run run) throws Exception {
        String topic = run.name("queries");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 1);
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        List<SendResult> results = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            results.add(Sending.sent(producer.send(new Message(topic, "tag", "key" + i, Sending.bytes("query " + i)), queue)));
            // Distinct store times are what the search below needs.
            Thread.sleep(3);
        }
        Run.awaitOffset(producer, queue, 10);
        Check.equal(0L, producer.minOffset(queue), "min offset");
        for (int i : new int[] {0, 4, 9}) {
            MessageExt message = producer.viewMessage(topic, results.get(i).getOffsetMsgId());
            Check.equal("query " + i, Sending.text(message), "body by offset id");
            Check.equal("key" + i, message.getKeys(), "key by offset id");
            Check.equal((long) i, message.getQueueOffset(), "queue offset by offset id");
            Check.equal(message.getCommitLogOffset(),
                    MessageDecoder.decodeMessageId(results.get(i).getOffsetMsgId()).getOffset(), "position");
            Check.equal((long) i, producer.searchOffset(queue, message.getStoreTimestamp()), "offset by its store time");
            if (i == 0) {
                Check.equal(message.getStoreTimestamp(), producer.earliestMsgStoreTime(queue), "earliest store time");
            }
        }
        Check.equal(0L, producer.searchOffset(queue, 0), "offset of a time before all messages");
        Check.equal(10L, producer.searchOffset(queue, System.currentTimeMillis() + 60_000), "offset of the future");
        return Json.object("messages", 10);
    }

    private static Object errors(Run run) throws Exception {
        String topic = run.name("errors");
        DefaultMQProducer producer = run.unstartedProducer();
        producer.setMaxMessageSize(8 << 20);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        run.start(producer);
        run.topic(producer, topic, 2);
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);

        Check.thrown(MQClientException.class, "a topic name that is none",
                () -> producer.send(Sending.message("not a topic!", "x")));
        MQBrokerException tooLarge = Check.thrown(MQBrokerException.class, "a body over the broker's limit",
                () -> producer.send(new Message(topic, new byte[5 << 20]), queue));
        Check.equal(MESSAGE_ILLEGAL, tooLarge.getResponseCode(), "code for a body over the limit");
        MQBrokerException noQueue = Check.thrown(MQBrokerException.class, "a queue that is not there",
                () -> producer.send(Sending.message(topic, "x"), new MessageQueue(topic, queue.getBrokerName(), 99)));
        Check.equal(INVALID_PARAMETER, noQueue.getResponseCode(), "code for a queue that is not there");
        Check.thrown(MQClientException.class, "queues of an unknown topic",
                () -> producer.fetchPublishMessageQueues(run.name("nowhere")));

        MQClientAPIImpl wire = Api.wire(producer);
        String broker = Api.brokerAddress(producer, queue.getBrokerName());
        RemotingCommand unknown = wire.getRemotingClient().invokeSync(
                broker, RemotingCommand.createRequestCommand(29_999, null), 5_000);
        Check.equal(REQUEST_CODE_NOT_SUPPORTED, unknown.getCode(), "code for an unknown request");
        Check.that(unknown.getRemark() != null && unknown.getRemark().contains("29999")
                && unknown.getRemark().contains("not supported"), "remark for an unknown request: " + unknown.getRemark());

        RemotingCommand badName = send(wire, broker, "not a topic!", 0);
        Check.equal(INVALID_PARAMETER, badName.getCode(), "code for a topic name that is none");
        RemotingCommand missing = send(wire, broker, run.name("nowhere"), 0);
        Check.equal(TOPIC_NOT_EXIST, missing.getCode(), "code for a topic that is missing and may not be made");
        RemotingCommand route = RemotingCommand.createRequestCommand(105, null);
        route.addExtField("topic", run.name("nowhere"));
        RemotingCommand noSuchRoute = wire.getRemotingClient().invokeSync(null, route, 5_000);
        Check.equal(TOPIC_NOT_EXIST, noSuchRoute.getCode(), "code for a route of an unknown topic");

        // After all that was refused the connection still serves.
        Sending.sent(producer.send(Sending.message(topic, "fine"), queue));
        Run.awaitOffset(producer, queue, 1);
        return Json.object("tooLarge", tooLarge.getErrorMessage(), "noQueue", noQueue.getErrorMessage(),
                "badName", badName.getRemark(), "missing", missing.getRemark(), "unknown", unknown.getRemark(),
                "noRoute", noSuchRoute.getRemark());
    }

    /** A send that asks for creation by a template that does not exist, past the client's own checks. */
    private static RemotingCommand send(MQClientAPIImpl wire, String broker, String topic, int queue) throws Exception {
        RemotingCommand send = RemotingCommand.createRequestCommand(310, null);
        send.addExtField("a", "raw_group");
        send.addExtField("b", topic);
        send.addExtField("c", "no_such_template");
        send.addExtField("d", "4");
        send.addExtField("e", Integer.toString(queue));
        send.addExtField("f", "0");
        send.addExtField("g", Long.toString(System.currentTimeMillis()));
        send.addExtField("h", "0");
        send.addExtField("i", "");
        send.addExtField("j", "0");
        send.addExtField("k", "false");
        send.addExtField("m", "false");
        send.setBody(Sending.bytes("x"));
        return wire.getRemotingClient().invokeSync(broker, send, 5_000);
    }
}
