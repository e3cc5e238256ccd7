'use strict';
// What the client receives: by asking for it, or by being called with it. Each message is acknowledged on its own.

const { ConsumeResult } = require('rocketmq-client-nodejs');
const content = require('./content');
const { equal, wait } = require('./run');

/** The messages of content.js, each once, by their index. */
async function everything(run, consumerGroup, topic) {
  const consumer = await run.simple(consumerGroup, topic);
  const found = new Map();
  while (found.size < content.MESSAGES) {
    for (const one of await consumer.receive(32, 30_000)) {
      const index = one.properties.get('index');
      equal(false, found.has(index), `message ${index} came again`);
      found.set(index, one);
      await consumer.ack(one);
    }
  }
  return found;
}

const matrixReceive = sender => async run => {
  const topic = `matrix_${sender}_${run.suffix}`;
  const found = await everything(run, `g_${topic}_by_node`, topic);
  for (let i = 0; i < content.MESSAGES; i++) {
    const one = found.get(String(i));
    equal(undefined, one.corrupted, `${i} is corrupted`);
    equal(0, Buffer.compare(content.body(i), one.body), `body of ${i}`);
    equal(content.tag(i), one.tag, `tag of ${i}`);
    equal(new Set(content.keys(i)), new Set(one.keys), `keys of ${i}`);
    equal(content.properties(i), one.properties, `properties of ${i}`);
    equal(1, one.deliveryAttempt, `delivery attempt of ${i}`);
  }
  return { messages: found.size };
};

async function matrixSend(run) {
  const topic = `matrix_node_${run.suffix}`;
  const producer = await run.producer(topic);
  for (let i = 0; i < content.MESSAGES; i++) {
    await producer.send(content.made(topic, i));
  }
  return { messages: content.MESSAGES };
}

async function send(run, topic, bodies, messageGroup = () => undefined) {
  const producer = await run.producer(topic);
  for (const [i, body] of bodies.entries()) {
    await producer.send({ topic, body: Buffer.from(body), messageGroup: messageGroup(i) });
  }
}

/** What has come, and how often it had been tried; fails what it is told to fail. */
class Seen {
  attempts = {};
  order = [];

  constructor(fails = () => false) {
    this.fails = fails;
  }

  take(one) {
    const body = one.body.toString();
    (this.attempts[body] ??= []).push(one.deliveryAttempt);
    this.order.push(body);
    return body;
  }

  consume(one) {
    const body = this.take(one);
    return this.fails(body, this.attempts[body].length) ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
  }

  awaitDeliveries(count) {
    return wait(() => `${count} deliveries, now ${this.order.length}`, () => this.order.length >= count);
  }
}

const attempts = (bodies, which, found) => Object.fromEntries(bodies.map(body => [body, body === which ? found : [1]]));

/** Of thirty messages one is given another time instead of being acknowledged, and comes again then. */
async function simple(run) {
  const topic = run.name('grpc_simple');
  const bodies = Array.from({ length: 30 }, (_, i) => `simple ${i}`);
  await send(run, topic, bodies);
  const consumer = await run.simple(run.name('g_grpc_simple'), topic);
  const seen = new Seen();
  let later;
  while (seen.order.length < 31) {
    for (const one of await consumer.receive(32, 30_000)) {
      const body = seen.take(one);
      if (body !== 'simple 7') {
        await consumer.ack(one);
      } else if (later === undefined) {
        const handle = one.receiptHandle;
        const asked = performance.now();
        await consumer.changeInvisibleDuration(one, 2_000);
        equal(true, handle !== one.receiptHandle, 'a new receipt handle');
        later = asked + 2_000;
      } else {
        equal(true, performance.now() >= later, 'not before its time');
        await consumer.ack(one);
      }
    }
  }
  equal(attempts(bodies, 'simple 7', [1, 2]), seen.attempts, 'delivery attempts');
  equal([], await consumer.receive(32, 30_000), 'what is left');
  return { messages: 30 };
}

/** Of a hundred messages one fails twice; the broker delivers it again, at once: this client knows no pauses but exponential ones. */
async function push(run) {
  const topic = run.name('grpc_push');
  const group = run.name('g_grpc_push');
  const bodies = Array.from({ length: 100 }, (_, i) => `push ${i}`);
  const seen = new Seen((body, times) => body === 'push 13' && times < 3);
  await run.push(group, topic, seen);
  await send(run, topic, bodies);
  await seen.awaitDeliveries(102);
  const consumer = await run.simple(group, topic);
  equal([], await consumer.receive(32, 30_000), 'what is left');
  equal(attempts(bodies, 'push 13', [1, 2, 3]), seen.attempts, 'delivery attempts');
  return { messages: 100 };
}

/** The group allows one retry; what fails then, too, is a dead letter. It is looked at by the remoting client for Java. */
async function deadLetter(run) {
  const topic = run.name('grpc_dead');
  const bodies = ['good 0', 'bad', 'good 1'];
  const seen = new Seen(body => body === 'bad');
  await run.push(run.name('g_grpc_dead'), topic, seen);
  await send(run, topic, bodies);
  await seen.awaitDeliveries(4);
  equal(attempts(bodies, 'bad', [1, 2]), seen.attempts, 'delivery attempts');
  return { messages: 3 };
}

/** In order in each message group; what fails goes nowhere but to the dead letters, and nobody overtakes it. */
async function ordered(run) {
  const topic = run.name('grpc_ordered');
  const bodies = Array.from({ length: 100 }, (_, i) => (i === 51 ? 'bad' : `group ${i % 5} ${i}`));
  await send(run, topic, bodies, i => `group ${i % 5}`);
  const seen = new Seen(body => body === 'bad');
  await run.push(run.name('g_grpc_ordered'), topic, seen);
  // This client makes no retries of its own: it knows no pauses but exponential ones.
  await seen.awaitDeliveries(100);
  for (let group = 0; group < 5; group++) {
    const of = body => body.startsWith(`group ${group} `) || (group === 1 && body === 'bad');
    equal(bodies.filter(of), seen.order.filter(of), 'order');
  }
  return { messages: 100 };
}

// Who sends to a topic of the matrix, beside this program; see tests/matrix.rs.
const SENDERS = ['java-zlib', 'java-lz4', 'java-zstd', 'go', 'java-grpc', 'go-grpc', 'python', 'node', 'rust'];

const CASES = {
  'grpc-simple': simple,
  'grpc-push': push,
  'grpc-dead-letter': deadLetter,
  'grpc-ordered': ordered,
  'matrix-send': matrixSend,
  ...Object.fromEntries(SENDERS.map(sender => [`matrix-receive-${sender}`, matrixReceive(sender)])),
};

module.exports = { CASES };
