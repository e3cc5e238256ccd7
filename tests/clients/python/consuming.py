"""What the client receives: by asking for it, or by being called with it. Each message is acknowledged on its own."""

import threading
import time
from collections import defaultdict

import content
from rocketmq import ConsumeResult, MessageListener
from run import equal, message, wait


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


def send(run, topic, bodies, **fields):
    producer = run.producer(topic)
    for body in bodies:
        producer.send(message(topic, body, **fields))


def simple(run):
    """Of thirty messages one is given another time instead of being acknowledged, and comes again then."""
    topic = run.name("grpc_simple")
    bodies = [f"simple {i}" for i in range(30)]
    send(run, topic, bodies)
    consumer = run.simple(run.name("g_grpc_simple"), topic)
    attempts = defaultdict(list)
    later = None
    while sum(map(len, attempts.values())) < 31:
        for one in consumer.receive(32, 30):
            body = one.body.decode()
            attempts[body].append(one.delivery_attempt)
            if body != "simple 7":
                consumer.ack(one)
            elif later is None:
                handle, asked = one.receipt_handle, time.monotonic()
                consumer.change_invisible_duration(one, 2)
                equal(True, handle != one.receipt_handle, "a new receipt handle")
                later = asked + 2
            else:
                equal(True, time.monotonic() >= later, "not before its time")
                consumer.ack(one)
    equal({body: [1, 2] if body == "simple 7" else [1] for body in bodies}, dict(attempts), "delivery attempts")
    equal([], consumer.receive(32, 30), "what is left")
    return {"messages": 30}


class Seen(MessageListener):
    """Notes what comes, and fails what it is told to fail."""

    def __init__(self, fails):
        self.fails = fails
        self.attempts = defaultdict(list)
        self.order = []
        self.lock = threading.Lock()

    def consume(self, one):
        body = one.body.decode()
        with self.lock:
            self.attempts[body].append(one.delivery_attempt)
            self.order.append(body)
            failed = self.fails(body, len(self.attempts[body]))
        return ConsumeResult.FAILURE if failed else ConsumeResult.SUCCESS

    def await_deliveries(self, count):
        wait(lambda: f"{count} deliveries, now {len(self.order)}", lambda: len(self.order) >= count)


def push(run):
    """Of a hundred messages one fails twice; the broker delivers it again."""
    topic = run.name("grpc_push")
    group = run.name("g_grpc_push")
    bodies = [f"push {i}" for i in range(100)]
    seen = Seen(lambda body, times: body == "push 13" and times < 3)
    consumer = run.push(group, topic, seen)
    send(run, topic, bodies)
    seen.await_deliveries(102)
    consumer.shutdown()
    equal({body: [1, 2, 3] if body == "push 13" else [1] for body in bodies}, dict(seen.attempts), "delivery attempts")
    equal([], run.simple(group, topic).receive(32, 30), "what is left")
    return {"messages": 100}


def dead_letter(run):
    """The group allows one retry; what fails then, too, is a dead letter. It is looked at by the remoting client for Java."""
    topic = run.name("grpc_dead")
    seen = Seen(lambda body, _: body == "bad")
    run.push(run.name("g_grpc_dead"), topic, seen)
    send(run, topic, ["good 0", "bad", "good 1"])
    seen.await_deliveries(4)
    equal({"good 0": [1], "bad": [1, 2], "good 1": [1]}, dict(seen.attempts), "delivery attempts")
    return {"messages": 3}


def ordered(run):
    """In order in each message group; what fails goes nowhere but to the dead letters, and nobody overtakes it."""
    topic = run.name("grpc_ordered")
    producer = run.producer(topic)
    for i in range(100):
        body = "bad" if i == 51 else f"group {i % 5} {i}"
        producer.send(message(topic, body, message_group=f"group {i % 5}"))
    seen = Seen(lambda body, _: body == "bad")
    run.push(run.name("g_grpc_ordered"), topic, seen)
    # The group allows one retry, which this client makes by itself.
    seen.await_deliveries(101)
    for group in range(5):
        wanted = [f"group {group} {i}" for i in range(group, 100, 5) if i != 51]
        equal(wanted, [body for body in seen.order if body.startswith(f"group {group} ")], "order")
    before, after = (seen.order.index(f"group 1 {i}") for i in (46, 56))
    bad = [before < i < after for i, body in enumerate(seen.order) if body == "bad"]
    equal([True, True], bad, "bad in its place")
    return {"messages": 100}


# Who sends to a topic of the matrix, beside this program; see tests/matrix.rs.
SENDERS = ["java-zlib", "java-lz4", "java-zstd", "go", "java-grpc", "go-grpc", "python", "node", "rust"]

CASES = {
    "grpc-simple": simple,
    "grpc-push": push,
    "grpc-dead-letter": dead_letter,
    "grpc-ordered": ordered,
    "matrix-send": matrix_send,
    **{f"matrix-receive-{sender}": matrix_receive(sender) for sender in SENDERS},
}
