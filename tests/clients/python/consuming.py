"""What the client receives by asking for it, each message acknowledged on its own."""

import content
from run import equal


def everything(run, group, topic):
    """The messages of content.py, each once, by their index."""
    consumer = run.simple(group, topic)
    found = {}
    while len(found) < content.MESSAGES:
        for one in consumer.receive(32, 30):
            index = one.properties["index"]
            equal(False, index in found, f"message {index} came again")
            found[index] = one
            consumer.ack(one)
    return found


def matrix_receive(sender):
    def receive(run):
        topic = f"matrix_{sender}_{run.suffix}"
        found = everything(run, f"g_{topic}_by_python", topic)
        for i in range(content.MESSAGES):
            one = found[str(i)]
            equal(False, one.corrupted, f"{i} is corrupted")
            equal(content.body(i), one.body, f"body of {i}")
            equal(content.tag(i), one.tag, f"tag of {i}")
            equal(set(content.keys(i)), set(one.keys), f"keys of {i}")
            equal(content.properties(i), one.properties, f"properties of {i}")
            equal(1, one.delivery_attempt, f"delivery attempt of {i}")
        return {"messages": len(found)}

    return receive


def matrix_send(run):
    topic = f"matrix_python_{run.suffix}"
    producer = run.producer(topic)
    for i in range(content.MESSAGES):
        producer.send(content.made(topic, i))
    return {"messages": content.MESSAGES}


# Who sends to a topic of the matrix, beside this program; see tests/matrix.rs.
SENDERS = ["java-zlib", "java-lz4", "java-zstd", "go", "java-grpc", "go-grpc", "python", "node", "rust"]

CASES = {
    "matrix-send": matrix_send,
    **{f"matrix-receive-{sender}": matrix_receive(sender) for sender in SENDERS},
}
