package cases;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.AckCallback;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.PopCallback;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ExtraInfoUtil;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;

/** The calls that the client library makes of consumers' wishes. */
final class PopCaller {
    private final MQClientAPIImpl wire;
    private final MessageQueue queue;
    private final String address;

    PopCaller(MQClientAPIImpl wire, MessageQueue queue, String address) {
        this.wire = wire;
        this.queue = queue;
        this.address = address;
    }

    PopResult pop(String group, int max, long invisibleMs, long pollMs, String attempt) throws Exception {
        return popAsync(group, max, invisibleMs, pollMs, attempt).get(20, TimeUnit.SECONDS);
    }

    /** In order, if it is an attempt. */
    CompletableFuture<PopResult> popAsync(String group, int max, long invisibleMs, long pollMs, String attempt)
            throws Exception {
        PopMessageRequestHeader header = new PopMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(queue.getTopic());
        header.setQueueId(-1);
        header.setMaxMsgNums(max);
        header.setInvisibleTime(invisibleMs);
        header.setPollTime(pollMs);
        header.setBornTime(System.currentTimeMillis());
        header.setInitMode(0);
        header.setExpType("TAG");
        header.setExp("*");
        header.setOrder(attempt != null);
        header.setAttemptId(attempt);
        CompletableFuture<PopResult> result = new CompletableFuture<>();
        wire.popMessageAsync(queue.getBrokerName(), address, header, 30_000, new PopCallback() {
            @Override
            public void onSuccess(PopResult popped) {
                result.complete(popped);
            }

            @Override
            public void onException(Throwable failure) {
                result.completeExceptionally(failure);
            }
        });
        return result;
    }

    AckResult ack(String group, String handle) throws Exception {
        String[] fields = ExtraInfoUtil.split(handle);
        AckMessageRequestHeader header = new AckMessageRequestHeader();
        header.setTopic(ExtraInfoUtil.getRealTopic(fields, queue.getTopic(), group));
        header.setConsumerGroup(group);
        header.setQueueId(ExtraInfoUtil.getQueueId(fields));
        header.setOffset(ExtraInfoUtil.getQueueOffset(fields));
        header.setExtraInfo(handle);
        Answer answer = new Answer();
        wire.ackMessageAsync(address, 10_000, answer, header);
        return answer.get();
    }

    void ackAll(String group, List<String> handles) throws Exception {
        Answer answer = new Answer();
        wire.batchAckMessageAsync(address, 10_000, answer, queue.getTopic(), group, handles);
        Check.equal(AckStatus.OK, answer.get().getStatus(), "several acknowledgements");
    }

    AckResult change(String group, String handle, long invisibleMs) throws Exception {
        String[] fields = ExtraInfoUtil.split(handle);
        ChangeInvisibleTimeRequestHeader header = new ChangeInvisibleTimeRequestHeader();
        header.setTopic(ExtraInfoUtil.getRealTopic(fields, queue.getTopic(), group));
        header.setConsumerGroup(group);
        header.setQueueId(ExtraInfoUtil.getQueueId(fields));
        header.setOffset(ExtraInfoUtil.getQueueOffset(fields));
        header.setExtraInfo(handle);
        header.setInvisibleTime(invisibleMs);
        Answer answer = new Answer();
        wire.changeInvisibleTimeAsync(queue.getBrokerName(), address, header, 10_000, answer);
        return answer.get();
    }

    /** What a message is acknowledged with. */
    static String handle(MessageExt message) {
        return message.getProperty("POP_CK");
    }

    private static final class Answer implements AckCallback {
        private final CompletableFuture<AckResult> result = new CompletableFuture<>();

        @Override
        public void onSuccess(AckResult answered) {
            result.complete(answered);
        }

        @Override
        public void onException(Throwable failure) {
            result.completeExceptionally(failure);
        }

        AckResult get() throws Exception {
            return result.get(20, TimeUnit.SECONDS);
        }
    }
}
