'use strict';
// The gRPC client for Node.js against a broker; prints a line of JSON for each case:
//
//     main.js --grpc HOST:PORT --suffix NAME CASE...
//
// The topics must be there. It exits with 1 if a case failed.

const { parseArgs } = require('node:util');
const { Run } = require('./run');

const CASES = { ...require('./producing').CASES, ...require('./consuming').CASES };
const CASE_LIMIT_MS = 90_000;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      namesrv: { type: 'string' }, // Not needed.
      grpc: { type: 'string', default: '127.0.0.1:8081' },
      suffix: { type: 'string', default: '' },
    },
  });
  const unknown = positionals.filter(name => !(name in CASES));
  if (unknown.length > 0 || positionals.length === 0) {
    console.error(`unknown cases ${unknown}; known: ${Object.keys(CASES)}`);
    return 2;
  }
  let failed = 0;
  for (const name of positionals) {
    failed += (await one(name, new Run(values.grpc, values.suffix))) ? 0 : 1;
  }
  return failed === 0 ? 0 : 1;
}

async function one(name, run) {
  const start = performance.now();
  const line = { case: name, ok: false };
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`did not end within ${CASE_LIMIT_MS} ms`)), CASE_LIMIT_MS);
  });
  try {
    line.detail = await Promise.race([late, CASES[name](run).then(detail => run.close().then(() => detail))]);
    line.ok = true;
  } catch (failure) {
    line.detail = String(failure);
    line.trace = failure?.stack;
  }
  clearTimeout(timer);
  line.ms = Math.round(performance.now() - start);
  process.stdout.write(`${JSON.stringify(line)}\n`);
  return line.ok;
}

// A client that had trouble may have more on its way; the case has its verdict by then.
process.on('unhandledRejection', reason => console.error('nobody waited for', reason));
main().then(code => process.exit(code));
