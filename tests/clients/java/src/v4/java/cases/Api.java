package cases;

import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;

/** What the 4.9.x client spells differently from 5.x. */
final class Api {
    static final String LINE = "java4";

    private Api() {}

    /** This line has no cases of its own. */
    static void register(Map<String, Case> cases) {}

    /** The 4.9.x line has no gRPC client beside it. */
    static void registerGrpc(Map<String, Case> cases) {}

    /** The 4.9.x line does not pop. */
    static void registerKills(Map<String, Case> cases) {}

    /** The administrators' tools are those of the other line. */
    static void registerBrokerTraces(Map<String, Case> cases) {}

    /** Of what is carried over, some is unknown to this line. */
    static void registerMigration(Map<String, Case> cases) {}

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues);
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static String brokerAddress(DefaultMQProducer producer, String broker) {
        return producer.getDefaultMQProducerImpl().getmQClientFactory().findBrokerAddressInPublish(broker);
    }

    static MQClientAPIImpl wire(DefaultMQProducer producer) {
        return producer.getDefaultMQProducerImpl().getmQClientFactory().getMQClientAPIImpl();
    }
}
