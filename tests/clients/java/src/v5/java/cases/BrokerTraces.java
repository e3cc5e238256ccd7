package cases;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.DefaultParser;
import org.apache.commons.cli.Options;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.trace.TraceView;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.command.message.QueryMsgTraceByIdSubCommand;

/** Clients that do not trace, and a broker that does: its traces, read by mqadmin's own command. */
final class BrokerTraces {
    private BrokerTraces() {}

    static void register(Map<String, Case> cases) {
        cases.put("broker-traces", BrokerTraces::traced);
    }

    private static Object traced(Run run) throws Exception {
        String topic = run.name("broker-traced");
        String group = run.name("g_broker-traced");
        DefaultMQProducer producer = run.producer();
        run.topic(producer, topic, 1);
        Set<String> failed = ConcurrentHashMap.newKeySet();
        Set<String> received = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = run.push(group, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            String body = Sending.text(messages.get(0));
            if (body.equals("bad")) {
                failed.add(body);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            received.add(body);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.start(consumer);
        String key = run.name("key");
        SendResult good = Sending.sent(producer.send(new Message(topic, "tag", key, Sending.bytes("good"))));
        SendResult bad = Sending.sent(producer.send(new Message(topic, "tag", key, Sending.bytes("bad"))));
        Run.await(() -> "messages: " + received + ", " + failed, () -> received.size() + failed.size() == 2);

        // In its own time a consumer says less often what it has consumed.
        consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
        awaitTraces(run, good, List.of("Pub success", "Sub success"), producer.getProducerGroup(), group);
        awaitTraces(run, bad, List.of("Pub success", "Sub failed"), producer.getProducerGroup(), group);
        List<String> byKey = producer.queryMessage("RMQ_SYS_TRACE_TOPIC", key, 64, 0, Long.MAX_VALUE).getMessageList().stream()
                .flatMap(message -> TraceView.decodeFromTraceTransData(good.getMsgId(), message).stream())
                .map(TraceView::getMsgType).sorted().collect(Collectors.toList());
        Check.equal(List.of("Pub", "SubAfter", "SubBefore"), byKey, "traces found by the key");
        return Json.object("id", good.getMsgId());
    }

    private static void awaitTraces(Run run, SendResult of, List<String> wanted, String producers, String consumers)
            throws InterruptedException {
        String[] shown = {""};
        Run.await(() -> "traces of " + of.getMsgId() + ": " + shown[0], () -> {
            shown[0] = mqadmin("-n", run.namesrv(), "-i", of.getMsgId());
            return wanted.equals(shown[0].lines().filter(line -> line.startsWith("Pub") || line.startsWith("Sub"))
                    .map(line -> line.split(" +"))
                    .filter(line -> line[1].equals(line[0].equals("Pub") ? producers : consumers))
                    .map(line -> line[0] + " " + line[line.length - 1]).sorted().collect(Collectors.toList()));
        });
    }

    /** What {@code mqadmin queryMsgTraceById} prints. */
    private static String mqadmin(String... arguments) {
        QueryMsgTraceByIdSubCommand command = new QueryMsgTraceByIdSubCommand();
        Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
        PrintStream out = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        try {
            CommandLine line = ServerUtil.parseCmdLine(command.commandName(), arguments, options, new DefaultParser());
            command.execute(line, options, null);
        } catch (Exception nothingYet) {
            // The tool fails when it finds no message.
            return String.valueOf(nothingYet.getCause());
        } finally {
            System.setOut(out);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }
}
