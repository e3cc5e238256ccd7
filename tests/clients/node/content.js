'use strict';
// Messages by a rule that every program knows, so that nothing but the broker carries them across.

const MESSAGES = 40;

const body = i => Buffer.from(`\u4f60\u597d ${i} ${'0123456789'.repeat(i * 100)}`);
const tag = i => `tag\u03a9${i % 5}`;
const keys = i => [`\u8ba2\u5355${i}`, `key${i}`];
const properties = i => new Map([['index', String(i)], ['\u540d', `\u503c \u{1f680} ${i}`]]);

const made = (topic, i) => ({ topic, body: body(i), tag: tag(i), keys: keys(i), properties: properties(i) });

module.exports = { MESSAGES, body, tag, keys, properties, made };
