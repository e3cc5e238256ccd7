package cases;

import java.util.Collections;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What the 5.x client spells differently from 4.9.x. */
final class Api {
    static final String LINE = "java5";

    private Api() {}

    /** The cases that only this line can do. */
    static void register(Map<String, Case> cases) {
        Admin.register(cases);
        Shapes.register(cases);
        Timers.register(cases);
        Pop.register(cases);
    }

    /** Those that need a gRPC endpoint. */
    static void registerGrpc(Map<String, Case> cases) {
        GrpcProducing.register(cases);
        Matrix.register(cases);
        GrpcConsuming.register(cases);
        GrpcSurviving.register(cases);
        GrpcLite.register(cases);
    }

    /** Those that go on while somebody kills the broker. */
    static void registerKills(Map<String, Case> cases) {
        PopKills.register(cases);
    }

    /** Those that need a broker that traces by itself. */
    static void registerBrokerTraces(Map<String, Case> cases) {
        BrokerTraces.register(cases);
    }

    /** One broker after the other on what was stored: somebody carries that over in between. */
    static void registerMigration(Map<String, Case> cases) {
        Migration.register(cases);
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues, Collections.emptyMap());
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static String brokerAddress(DefaultMQProducer producer, String broker) {
        return producer.getDefaultMQProducerImpl().getMqClientFactory().findBrokerAddressInPublish(broker);
    }

    static MQClientAPIImpl wire(DefaultMQProducer producer) {
        return producer.getDefaultMQProducerImpl().getMqClientFactory().getMQClientAPIImpl();
    }
}
