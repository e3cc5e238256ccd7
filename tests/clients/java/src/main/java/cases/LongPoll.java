package cases;

import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** A parked pull is answered by the send that it waits for, within milliseconds. */
final class LongPoll {
    private static final int MESSAGES = 50;
    private static final double MEDIAN_LIMIT_MS = 25;

    private LongPoll() {}

    static void register(Map<String, Case> cases) {
        cases.put("long-poll", LongPoll::longPoll);
    }

    private static Object longPoll(Run run) throws Exception {
        String topic = run.name("long_poll");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 4);
        BlockingQueue<Long> arrivals = new ArrayBlockingQueue<>(MESSAGES * 4);
        DefaultMQPushConsumer consumer = Consuming.listening(run, run.name("g_long_poll"), topic, "*",
                message -> arrivals.add(System.nanoTime()));
        run.start(consumer);
        Run.await("the consumer holds its queues", () -> Run.held(consumer, topic).size() == 4);
        // The first rounds load classes and open connections on both sides; they are not counted.
        for (int i = 0; i < 20; i++) {
            Sending.sent(producer.send(Sending.message(topic, "warm-up")));
            Check.that(arrivals.poll(20, TimeUnit.SECONDS) != null, "warm-up message " + i + " did not arrive");
        }
        double[] fromSendMs = new double[MESSAGES];
        double[] fromAnswerMs = new double[MESSAGES];
        for (int i = 0; i < MESSAGES; i++) {
            // Spacing is what the case is about: each message has to find the pull parked, not on its way.
            Thread.sleep(20);
            long start = System.nanoTime();
            Sending.sent(producer.send(Sending.message(topic, "message")));
            long answered = System.nanoTime();
            Long arrived = arrivals.poll(20, TimeUnit.SECONDS);
            Check.that(arrived != null, "message " + i + " did not arrive");
            fromSendMs[i] = (arrived - start) / 1e6;
            fromAnswerMs[i] = Math.max(0, arrived - answered) / 1e6;
        }
        Arrays.sort(fromSendMs);
        Arrays.sort(fromAnswerMs);
        double median = rounded(fromAnswerMs[MESSAGES / 2]);
        Check.that(median <= MEDIAN_LIMIT_MS, "half of the messages took over " + median + " ms from answer to arrival");
        return Json.object("p50AfterAnswerMs", median, "maxAfterAnswerMs", rounded(fromAnswerMs[MESSAGES - 1]),
                "p50FromSendMs", rounded(fromSendMs[MESSAGES / 2]));
    }

    private static double rounded(double ms) {
        return Math.round(ms * 100) / 100.0;
    }
}
