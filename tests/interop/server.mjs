// A real authorization server (oidc-provider) for tests, driven by lines of JSON.
//
// Each line on stdin is a command {id, command, ...}; each gets one line on stdout, {id, result} or {id, error}. The
// first command is `start`. When stdin closes, the process ends: whoever started it is gone or done with it.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { Front } from './oidc/front.mjs';
import { Issuer } from './oidc/issuer.mjs';

console.log = console.info = console.error; // stdout belongs to the protocol

const realNow = Date.now;
let issuer;
let front;

async function start({ path = '', ...configuration }) {
  const server = createServer((request, response) => front.serve(request, response));
  server.keepAliveTimeout = 0; // the client ends connections: else a request can meet one that the server just closed
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  issuer = new Issuer(`http://127.0.0.1:${server.address().port}${path}`, configuration);
  await issuer.rotate({ keep_old: false });
  front = new Front(path, (request, response) => issuer.serve(request, response));
  return issuer.endpoints();
}

const commands = {
  start,
  rotate: (options) => issuer.rotate(options),
  issue: (options) => issuer.issue(options),
  claims: ({ claims }) => { issuer.claims = claims; },
  // oidc-provider reads the time with Date.now() alone.
  clock: ({ ahead }) => { Date.now = () => realNow() + ahead * 1000; },
  counts: () => front.counts(),
  forget: () => front.forget(),
  wait: ({ path, count }) => front.reached(path, count),
  fail: (fault) => front.fail(fault),
  recover: () => front.recover(),
};

async function answer(line) {
  const { id, command, ...options } = JSON.parse(line);
  let reply;
  try {
    reply = { id, result: (await commands[command](options)) ?? null };
  } catch (error) {
    reply = { id, error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

createInterface({ input: process.stdin }).on('line', answer).on('close', () => process.exit(0));
