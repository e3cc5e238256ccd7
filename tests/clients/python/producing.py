"""What the client sends. It is looked at afterwards by the remoting client for Java."""

import threading
import time

import content
from rocketmq import TransactionChecker, TransactionResolution
from rocketmq.v5.exception import BadRequestException, IllegalArgumentException
from run import equal, message, raises, wait


def send(run):
    topic = run.name("grpc_cross")
    producer = run.producer(topic)
    for i in range(content.MESSAGES):
        receipt = producer.send(content.made(topic, i))
        equal(34, len(receipt.message_id), "length of the message id")
    return {"messages": content.MESSAGES}


def send_async(run):
    topic = run.name("grpc_async")
    producer = run.producer(topic)
    sends = [producer.send_async(message(topic, f"async {i}")) for i in range(500)]
    ids = {sent.result(60).message_id for sent in sends}
    equal(500, len(ids), "different message ids")
    return {"messages": len(ids)}


def fifo(run):
    topic = run.name("grpc_fifo")
    producer = run.producer(topic)
    for i in range(100):
        group = f"group {i % 5}"
        producer.send(message(topic, f"{group} {i}", message_group=group))
    return {"messages": 100}


def delay(run):
    topic = run.name("grpc_delay")
    # The client knows whole seconds only.
    due_s = int(time.time()) + 3
    producer = run.producer(topic)
    producer.send(message(topic, f"later {due_s * 1_000}", delivery_timestamp=due_s))
    return {"due": due_s}


def priority(run):
    topic = run.name("grpc_priority")
    producer = run.producer(topic)
    for urgency in range(1, 4):
        producer.send(message(topic, f"priority {urgency}", priority=urgency))
    return {"messages": 3}


class Checker(TransactionChecker):
    def __init__(self):
        self.asked = set()
        self.lock = threading.Lock()

    def late(self):
        """How many were asked for of those that nobody has decided."""
        with self.lock:
            return sum(body.startswith("late") for body in self.asked)

    def check(self, half):
        body = half.body.decode()
        with self.lock:
            self.asked.add(body)
        return TransactionResolution.COMMIT if "commit" in body else TransactionResolution.ROLLBACK


def transactions(run):
    topic = run.name("grpc_transactions")
    checker = Checker()
    producer = run.producer(topic, checker)
    for i in range(20):
        kind = ["commit", "rollback", "late commit", "late rollback"][i % 4]
        transaction = producer.begin_transaction()
        producer.send(message(topic, f"{kind} {i}"), transaction)
        if kind == "commit":
            transaction.commit()
        elif kind == "rollback":
            transaction.rollback()
    wait(lambda: f"10 to be asked for, now {checker.asked}", lambda: checker.late() == 10)
    return {"asked": len(checker.asked)}


def refused(run):
    topic = run.name("grpc_cross")
    nowhere = run.name("grpc_nowhere")
    producer = run.producer(topic)
    # What the broker has answered is in the client's log only.
    raises(Exception, None, "a topic that does not exist", lambda: producer.send(message(nowhere, "x")))
    raises(IllegalArgumentException, None, "an ordered message to a normal topic",
           lambda: producer.send(message(topic, "x", message_group="g")))
    raises(IllegalArgumentException, None, "a body of more than 4 MiB",
           lambda: producer.send(message(topic, bytes((4 << 20) + 1))))
    reserved = message(topic, "x")
    reserved.add_property("UNIQ_KEY", "x")
    raises(BadRequestException, 40007, "a property whose name is reserved", lambda: producer.send(reserved))
    return {"refused": 4}


CASES = {
    "grpc-send": send,
    "grpc-async": send_async,
    "grpc-fifo": fifo,
    "grpc-delay": delay,
    "grpc-priority": priority,
    "grpc-transactions": transactions,
    "grpc-refused": refused,
}
