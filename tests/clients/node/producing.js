'use strict';
// What the client sends. It is looked at afterwards by the remoting client for Java.

const { BadRequestException, NotFoundException } = require('rocketmq-client-nodejs');
const { TransactionResolution } = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');
const content = require('./content');
const { equal, raises, wait } = require('./run');

const text = body => Buffer.from(body);

async function send(run) {
  const topic = run.name('grpc_cross');
  const producer = await run.producer(topic);
  for (let i = 0; i < content.MESSAGES; i++) {
    const receipt = await producer.send(content.made(topic, i));
    equal(34, receipt.messageId.length, 'length of the message id');
  }
  return { messages: content.MESSAGES };
}

async function sendAsync(run) {
  const topic = run.name('grpc_async');
  const producer = await run.producer(topic);
  const sends = Array.from({ length: 500 }, (_, i) => producer.send({ topic, body: text(`async ${i}`) }));
  const ids = new Set((await Promise.all(sends)).map(receipt => receipt.messageId));
  equal(500, ids.size, 'different message ids');
  return { messages: ids.size };
}

async function fifo(run) {
  const topic = run.name('grpc_fifo');
  const producer = await run.producer(topic);
  for (let i = 0; i < 100; i++) {
    const messageGroup = `group ${i % 5}`;
    await producer.send({ topic, body: text(`${messageGroup} ${i}`), messageGroup });
  }
  return { messages: 100 };
}

async function delay(run) {
  const topic = run.name('grpc_delay');
  const producer = await run.producer(topic);
  const due = Date.now() + 2_000;
  await producer.send({ topic, body: text(`later ${due}`), deliveryTimestamp: new Date(due) });
  return { due };
}

async function priority(run) {
  const topic = run.name('grpc_priority');
  const producer = await run.producer(topic);
  // This client takes 0 for none.
  for (let urgency = 1; urgency < 4; urgency++) {
    await producer.send({ topic, body: text(`priority ${urgency}`), priority: urgency });
  }
  return { messages: 3 };
}

async function transactions(run) {
  const topic = run.name('grpc_transactions');
  const asked = new Set();
  const checker = {
    async check(half) {
      const body = half.body.toString();
      asked.add(body);
      return body.includes('commit') ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
    },
  };
  const producer = await run.producer(topic, { checker });
  for (let i = 0; i < 20; i++) {
    const kind = ['commit', 'rollback', 'late commit', 'late rollback'][i % 4];
    const transaction = producer.beginTransaction();
    await producer.send({ topic, body: text(`${kind} ${i}`) }, transaction);
    if (kind === 'commit') {
      await transaction.commit();
    } else if (kind === 'rollback') {
      await transaction.rollback();
    }
  }
  // Of those that nobody has decided.
  const late = () => [...asked].filter(body => body.startsWith('late')).length;
  await wait(() => `10 to be asked for, now ${[...asked]}`, () => late() === 10);
  return { asked: asked.size };
}

async function refused(run) {
  const topic = run.name('grpc_cross');
  const nowhere = run.name('grpc_nowhere');
  const producer = await run.producer(topic);
  const refuse = (kind, code, what, message) => raises(kind, code, what, () => producer.send(message));
  await refuse(NotFoundException, 40402, 'a topic that does not exist', { topic: nowhere, body: text('x') });
  await refuse(TypeError, undefined, 'an ordered message to a normal topic',
    { topic, body: text('x'), messageGroup: 'g' });
  await refuse(TypeError, undefined, 'a body of more than 4 MiB', { topic, body: Buffer.alloc((4 << 20) + 1) });
  await refuse(BadRequestException, 40007, 'a property whose name is reserved',
    { topic, body: text('x'), properties: new Map([['UNIQ_KEY', 'x']]) });
  return { refused: 4 };
}

const CASES = {
  'grpc-send': send,
  'grpc-async': sendAsync,
  'grpc-fifo': fifo,
  'grpc-delay': delay,
  'grpc-priority': priority,
  'grpc-transactions': transactions,
  'grpc-refused': refused,
};

module.exports = { CASES };
