package cases;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Producers and poppers that go on while somebody kills and restarts the broker, and the ledger of what they heard. The
 * folder in {@code CASE_SIGNALS} is how the two hear of each other: here {@code progress} grows by a byte for every 10
 * messages that are done; there {@code kills} grows by one before each kill, and the file {@code enough} ends the sending.
 */
final class PopKills {
    private static final int PRODUCERS = 2;
    private static final int POPPERS = 4;
    private static final long INVISIBLE_MS = 3_000;
    /** So that segments fill, and kills meet the roll from one to the next. */
    private static final String PADDING = "x".repeat(4_000);
    /** As many as keep the broker busy, and come again soon enough when nobody answers for them. */
    private static final int UNDONE_MAX = 400;

    private final Path signals = Path.of(System.getenv("CASE_SIGNALS"));
    private final String topic;
    private final String group;
    private final PopLedger ledger = new PopLedger();
    private final Semaphore undone = new Semaphore(UNDONE_MAX);
    private final AtomicLong sent = new AtomicLong();
    private final AtomicLong done = new AtomicLong();
    private final AtomicLong unanswered = new AtomicLong();
    private final AtomicBoolean stopped = new AtomicBoolean();
    private volatile long lastHeardMs = System.currentTimeMillis();

    private PopKills(Run run) {
        topic = run.name("pop_kills");
        group = run.name("g_pop_kills");
    }

    static void register(Map<String, Case> cases) {
        cases.put("pop-kills", run -> new PopKills(run).survive(run));
    }

    private Object survive(Run run) throws Exception {
        DefaultMQProducer producer = run.unstartedProducer();
        producer.setSendMsgTimeout(1_000);
        run.start(producer);
        run.topic(producer, topic, 3);
        PopCaller caller = new PopCaller(
                Api.wire(producer), producer.fetchPublishMessageQueues(topic).get(0), Pop.address(producer, topic));
        ExecutorService threads = Executors.newCachedThreadPool();
        run.closing(threads::shutdownNow);
        List<Future<?>> producers = new ArrayList<>();
        for (int number = 0; number < PRODUCERS; number++) {
            producers.add(threads.submit(() -> produce(producer)));
        }
        List<Future<?>> poppers = new ArrayList<>();
        for (int number = 0; number < POPPERS; number++) {
            boolean together = number % 2 == 0;
            poppers.add(threads.submit(() -> consume(caller, together)));
        }
        for (Future<?> one : producers) {
            // A popper that found something wrong must not be waited for.
            while (!ended(one)) {
                for (Future<?> popper : poppers) {
                    ended(popper);
                }
            }
        }
        // What nobody answered for in time comes again; if nothing comes any more, nothing is left.
        Run.await(() -> "everything done: " + done + " of " + sent,
                () -> done.get() == sent.get() || System.currentTimeMillis() - lastHeardMs > 2 * INVISIBLE_MS);
        long quietSinceMs = System.currentTimeMillis();
        Run.await("time enough for what should not come again",
                () -> System.currentTimeMillis() - Math.max(quietSinceMs, lastHeardMs) > INVISIBLE_MS + 1_000);
        stopped.set(true);
        for (Future<?> popper : poppers) {
            popper.get(30, TimeUnit.SECONDS);
        }
        ledger.close();
        return ledger.summary("unanswered", unanswered.get(), "kills", kills());
    }

    /** Whether a thread has come to its end; throws what it found wrong. */
    private static boolean ended(Future<?> thread) throws Exception {
        try {
            thread.get(10, TimeUnit.MILLISECONDS);
            return true;
        } catch (TimeoutException notYet) {
            return false;
        } catch (ExecutionException failure) {
            throw new AssertionError(failure.getCause().getMessage(), failure.getCause());
        }
    }

    private Void produce(DefaultMQProducer producer) throws Exception {
        while (!Files.exists(signals.resolve("enough"))) {
            if (!undone.tryAcquire(50, TimeUnit.MILLISECONDS)) {
                continue;
            }
            String body = "pop kills " + sent.getAndIncrement();
            ledger.sending(body, kills());
            // The same object each time: a retry that the broker stores once.
            Message message = new Message(topic, "t", Sending.bytes(body));
            message.putUserProperty("padding", PADDING);
            while (true) {
                try {
                    if (producer.send(message).getSendStatus() == SendStatus.SEND_OK) {
                        break;
                    }
                } catch (InterruptedException stop) {
                    throw stop;
                } catch (Exception failure) {
                    Thread.sleep(5);
                }
            }
        }
        return null;
    }

    private Void consume(PopCaller caller, boolean together) throws Exception {
        while (!stopped.get()) {
            long killsBefore = kills();
            PopResult popped;
            try {
                popped = caller.pop(group, 8, INVISIBLE_MS, 500, null);
            } catch (ExecutionException failure) {
                unanswered.incrementAndGet();
                Thread.sleep(5);
                continue;
            } catch (TimeoutException failure) {
                // The client may not notice that a connection ended just when it was about to ask.
                Check.that(kills() > killsBefore, "a pop that no kill met has no answer");
                unanswered.incrementAndGet();
                continue;
            }
            if (popped.getMsgFoundList() == null) {
                continue;
            }
            lastHeardMs = System.currentTimeMillis();
            List<PopLedger.Delivery> toBeDone = new ArrayList<>();
            for (MessageExt message : popped.getMsgFoundList()) {
                Check.equal(topic, message.getTopic(), "topic");
                PopLedger.Delivery delivery = new PopLedger.Delivery(Sending.text(message), message.getReconsumeTimes(),
                        popped.getPopTime(), popped.getPopTime() + INVISIBLE_MS, PopCaller.handle(message));
                if (ledger.heard(delivery, killsBefore, kills())) {
                    work(caller, delivery, toBeDone);
                }
            }
            if (together) {
                acknowledge(caller, toBeDone);
            } else {
                for (PopLedger.Delivery delivery : toBeDone) {
                    acknowledge(caller, List.of(delivery));
                }
            }
        }
        return null;
    }

    /** Some are left to come again, some get a new time before they are acknowledged. */
    private void work(PopCaller caller, PopLedger.Delivery delivery, List<PopLedger.Delivery> toBeDone)
            throws Exception {
        int number = Integer.parseInt(delivery.body().substring("pop kills ".length()));
        if (number % 5 == 0 && delivery.times() == 0) {
            return;
        }
        if (number % 7 != 0) {
            toBeDone.add(delivery);
            return;
        }
        try {
            AckResult changed = caller.change(group, delivery.handle(), INVISIBLE_MS);
            if (changed.getStatus() == AckStatus.OK) {
                long dueMs = changed.getPopTime() + INVISIBLE_MS;
                ledger.changed(delivery, dueMs);
                toBeDone.add(new PopLedger.Delivery(
                        delivery.body(), delivery.times(), changed.getPopTime(), dueMs, changed.getExtraInfo()));
            }
        } catch (ExecutionException failure) {
            // Either handle may be the one that counts now. It comes again.
            unanswered.incrementAndGet();
        }
    }

    /** Tries until it is answered or too late. What is answered in time never comes again. */
    private void acknowledge(PopCaller caller, List<PopLedger.Delivery> deliveries) throws Exception {
        if (deliveries.isEmpty()) {
            return;
        }
        deliveries.forEach(ledger::acknowledging);
        long dueMs = deliveries.stream().mapToLong(PopLedger.Delivery::dueMs).min().getAsLong();
        while (System.currentTimeMillis() < dueMs) {
            try {
                if (deliveries.size() == 1) {
                    AckResult answer = caller.ack(group, deliveries.get(0).handle());
                    Check.equal(AckStatus.OK, answer.getStatus(), "an acknowledgement");
                } else {
                    caller.ackAll(group, deliveries.stream().map(PopLedger.Delivery::handle).toList());
                }
                long answeredMs = System.currentTimeMillis();
                for (PopLedger.Delivery delivery : deliveries) {
                    if (answeredMs < delivery.dueMs() && ledger.done(delivery)) {
                        undone.release();
                        if (done.incrementAndGet() % 10 == 0) {
                            grow(signals.resolve("progress"));
                        }
                    }
                }
                return;
            } catch (ExecutionException failure) {
                unanswered.incrementAndGet();
                Thread.sleep(5);
            }
        }
    }

    private long kills() {
        try {
            Path kills = signals.resolve("kills");
            return Files.exists(kills) ? Files.size(kills) : 0;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static void grow(Path file) throws IOException {
        Files.write(file, new byte[] {'.'}, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }
}
