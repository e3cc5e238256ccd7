"""Messages by a rule that every program knows, so that nothing but the broker carries them across."""

from run import message

MESSAGES = 40


def body(i):
    return f"\u4f60\u597d {i} {'0123456789' * (i * 100)}".encode()


def tag(i):
    return f"tag\u03a9{i % 5}"


def keys(i):
    return [f"\u8ba2\u5355{i}", f"key{i}"]


def properties(i):
    return {"index": str(i), "\u540d": f"\u503c \U0001f680 {i}"}


def made(topic, i):
    one = message(topic, body(i), tag=tag(i))
    for key in keys(i):
        one.keys = key  # Adds: this client's setter takes one at a time.
    for name, value in properties(i).items():
        one.add_property(name, value)
    return one
