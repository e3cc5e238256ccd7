'use strict';
// What one case has in hand: names that nobody else uses, clients that are shut down with it, waiting for conditions.

const { isDeepStrictEqual } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');
const { Producer, PushConsumer, SimpleConsumer } = require('rocketmq-client-nodejs');

const LANGUAGE = 'node';
const WAIT_LIMIT_MS = 60_000;
const silent = { info() {}, warn() {}, error() {}, debug() {} };

class Run {
  #closing = [];

  constructor(grpc, suffix) {
    this.grpc = grpc;
    this.suffix = suffix;
  }

  name(label) {
    return `${label}_${LANGUAGE}_${this.suffix}`;
  }

  options(more) {
    return { endpoints: this.grpc, namespace: '', requestTimeout: 10_000, logger: silent, ...more };
  }

  producer(topic, more) {
    return this.started(new Producer(this.options({ topics: [topic], maxAttempts: 1, ...more })));
  }

  /** A started consumer that asks for messages. It waits for as short as the broker lets it. */
  simple(consumerGroup, topic) {
    const subscriptions = new Map([[topic, '*']]);
    return this.started(new SimpleConsumer(this.options({ consumerGroup, subscriptions, awaitDuration: 5_000 })));
  }

  /**
   * A started consumer that calls the listener. It is not shut down: this client would wait for the receive that it has under way, up
   * to twenty seconds.
   */
  async push(consumerGroup, topic, messageListener) {
    const subscriptions = new Map([[topic, '*']]);
    await new PushConsumer(this.options({ consumerGroup, subscriptions, messageListener })).startup();
  }

  async started(client) {
    await client.startup();
    this.#closing.push(() => client.shutdown());
    return client;
  }

  async close() {
    while (this.#closing.length > 0) {
      await this.#closing.pop()();
    }
  }
}

/** Looks every few milliseconds until the condition holds; `what` says what is missing by now. */
async function wait(what, condition) {
  const deadline = Date.now() + WAIT_LIMIT_MS;
  while (!condition()) {
    if (Date.now() > deadline) {
      throw new Error(`not within ${WAIT_LIMIT_MS} ms: ${what()}`);
    }
    await sleep(2);
  }
}

function equal(wanted, found, what) {
  if (!isDeepStrictEqual(wanted, found)) {
    throw new Error(`${what}: wanted ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`);
  }
}

/** The client's own exception, with the code that the broker answered, or undefined if the client did not ask it. */
async function raises(kind, code, what, action) {
  try {
    await action();
  } catch (refusal) {
    if (refusal instanceof kind) {
      equal(code, refusal.code, `code of the refusal of ${what}`);
      return;
    }
    throw refusal;
  }
  throw new Error(`not refused: ${what}`);
}

module.exports = { Run, wait, equal, raises };
