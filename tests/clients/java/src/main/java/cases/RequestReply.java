package cases;

import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** A message that waits for its reply: at once, by callback, in large, and when nobody replies. */
final class RequestReply {
    private static final int LARGE = 300_000;

    private RequestReply() {}

    static void register(Map<String, Case> cases) {
        cases.put("request-reply", RequestReply::requestReply);
    }

    private static Object requestReply(Run run) throws Exception {
        String topic = run.name("request");
        DefaultMQProducer requester = run.producer();
        run.topic(requester, topic, 2);
        DefaultMQProducer replier = run.producer();
        AtomicInteger repliesFailed = new AtomicInteger();
        DefaultMQPushConsumer responder = run.push(run.name("g_request"), topic, "*");
        responder.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                if (Sending.text(message).equals("nobody replies")) {
                    continue;
                }
                try {
                    byte[] body = Sending.text(message).equals("large") ? new byte[LARGE]
                            : Sending.bytes("reply to " + Sending.text(message));
                    Message reply = MessageUtil.createReplyMessage(message, body);
                    Sending.sent(replier.send(reply, 10_000));
                } catch (Exception failure) {
                    repliesFailed.incrementAndGet();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.start(responder);
        Run.await("the responder holds its queues", () -> Run.held(responder, topic).size() == 2);

        Check.equal("reply to first", new String(requester.request(Sending.message(topic, "first"), 20_000).getBody()),
                "the first reply");
        long start = System.nanoTime();
        for (int i = 0; i < 20; i++) {
            Message reply = requester.request(Sending.message(topic, "request " + i), 20_000);
            Check.equal("reply to request " + i, new String(reply.getBody()), "reply " + i);
        }
        long eachMs = Run.millisSince(start) / 20;
        Check.equal(LARGE, requester.request(Sending.message(topic, "large"), 20_000).getBody().length, "a large reply");

        CountDownLatch called = new CountDownLatch(20);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        for (int i = 0; i < 20; i++) {
            requester.request(Sending.message(topic, "async"), new RequestCallback() {
                @Override
                public void onSuccess(Message reply) {
                    if (!"reply to async".equals(new String(reply.getBody()))) {
                        failure.set(new AssertionError("a reply says " + new String(reply.getBody())));
                    }
                    called.countDown();
                }

                @Override
                public void onException(Throwable error) {
                    failure.set(error);
                    called.countDown();
                }
            }, 20_000);
        }
        Check.that(called.await(30, TimeUnit.SECONDS), "callbacks that did not come: " + called.getCount());
        Check.that(failure.get() == null, "a callback heard " + failure.get());

        try {
            requester.request(Sending.message(topic, "nobody replies"), 1_000);
            throw new AssertionError("a request without a reply must fail");
        } catch (RequestTimeoutException expected) {
            // As it should be.
        }
        Check.equal(0, repliesFailed.get(), "replies that failed");
        return Json.object("replies", 42, "eachMs", eachMs);
    }
}
