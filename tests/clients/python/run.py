"""What one case has in hand: names that nobody else uses, clients that are shut down with it, waiting for conditions."""

import time

from rocketmq import (
    ClientConfiguration,
    Credentials,
    FilterExpression,
    Message,
    Producer,
    PushConsumer,
    SimpleConsumer,
)

LANGUAGE = "python"
WAIT_LIMIT_S = 60


class Run:
    def __init__(self, grpc, suffix):
        self.grpc = grpc
        self.suffix = suffix
        self._closing = []

    def name(self, label):
        return f"{label}_{LANGUAGE}_{self.suffix}"

    def configuration(self):
        return ClientConfiguration(self.grpc, Credentials(), request_timeout=10)

    def producer(self, topic, checker=None):
        return self.started(Producer(self.configuration(), [topic], checker))

    def simple(self, group, topic):
        """A started consumer that asks for messages. It waits for as short as the broker lets it."""
        return self.started(SimpleConsumer(self.configuration(), group, {topic: FilterExpression()}, await_duration=5))

    def push(self, group, topic, listener):
        """A started consumer that calls the listener."""
        return self.started(PushConsumer(self.configuration(), group, listener, {topic: FilterExpression()}))

    def started(self, client):
        client.startup()
        # Nothing, if the case has done so itself.
        self._closing.append(lambda: client.is_running and client.shutdown())
        return client

    def close(self):
        while self._closing:
            self._closing.pop()()


def message(topic, body, **fields):
    made = Message()
    made.topic = topic
    made.body = body if isinstance(body, bytes) else body.encode()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def wait(what, condition):
    """Looks every few milliseconds until the condition holds; `what` says what is missing by now."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_LIMIT_S} s: {what()}")
        time.sleep(0.002)


def equal(wanted, found, what):
    if wanted != found:
        raise AssertionError(f"{what}: wanted {wanted!r}, found {found!r}")


def raises(kind, code, what, action):
    """The client's own exception, with the code that the broker answered, or None if the client did not ask it."""
    try:
        action()
    except kind as refusal:
        equal(code, getattr(refusal, "code", None), f"code of the refusal of {what}")
        return
    raise AssertionError(f"not refused: {what}")
