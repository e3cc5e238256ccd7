'use strict';
// What the client receives by asking for it, each message acknowledged on its own.

const content = require('./content');
const { equal } = require('./run');

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

// Who sends to a topic of the matrix, beside this program; see tests/matrix.rs.
const SENDERS = ['java-zlib', 'java-lz4', 'java-zstd', 'go', 'java-grpc', 'go-grpc', 'python', 'node', 'rust'];

const CASES = {
  'matrix-send': matrixSend,
  ...Object.fromEntries(SENDERS.map(sender => [`matrix-receive-${sender}`, matrixReceive(sender)])),
};

module.exports = { CASES };
