// @ts-check
/**
 * my_system under `bigfive`: an adapter that works as it is, around a store that is only a Map. No packages needed.
 *
 *     bigfive adapter check node my_system.js                  what it does, and what it does not offer
 *     bigfive new scenario first --target 'node my_system.js' --fault noop
 *     bigfive run scenarios/first.yaml
 *
 * Put your own system in its place where it says YOURS. The harness starts this file several times: once as the host,
 * and once for each client; `python -m pydoc harness.wire` is the whole protocol. Three answers matter:
 *
 *     return {..}                        ok: done, and it stays done
 *     throw new Refused({error: ..})     fail: certainly not done, now or later
 *     throw anything else                info: nobody knows, such as after a timeout
 *
 * Standard output belongs to the protocol: print to console.error, which is kept as a log.
 *
 * @typedef {Record<string, any>} Json
 * @typedef {Record<string, (args: Json) => Json | Promise<Json>>} Operations
 */
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const PROTOCOL = 1;

/** What is certainly not done; `details` are sent along. */
class Refused extends Error {
  /** @param {Json} details */
  constructor(details) {
    super(details.error);
    this.details = details;
  }
}

/** Starts and stops the system; there is one a run. @returns {Operations} */
function host() {
  let folder = '';
  /** @type {net.Server | undefined} */
  let server;

  // Asked before `start`, and again before each fault: where things are now.
  const describe = () => ({
    name: 'my_system',
    // YOURS: what clients can do with it, `harness.wire.CONTRACTS` has the choice.
    contracts: ['versioned_store'],
    // YOURS: what faults can act on, a process (pid), a file or a folder (path): without `service`, nothing can be
    // killed. `bigfive explain state_corruption` has the names that scenarios use. Leave out pid or path while there is
    // none, and offer only what is truly there.
    handles: { folder: { type: 'folder', ...(folder && { path: folder }) } },
    // YOURS: send({ event: 'damage.detected', data: {} }) tells what happens; every such event is named here.
    events: [],
    failpoints: [],
  });

  // In an empty folder. `options` is what a scenario says under `with`; what `connect` holds is passed to each client.
  // BIGFIVE_LABEL must stay in the environment of every child: it is how leftovers are found.
  const start = async (args) => {
    folder = args.folder;
    // YOURS: a process of its own, which you start again whenever it dies: the harness never does.
    const store = memory();
    server = net.createServer((connection) => {
      connection.on('error', () => connection.destroy());
      onLines(connection, async (line) => {
        connection.write(`${JSON.stringify(await answer(JSON.parse(line), store))}\n`);
      });
    });
    const address = path.join(folder, 'socket');
    await new Promise((resolve) => server?.listen(address, () => resolve(undefined)));
    return { connect: address };
  };

  // So that nothing is left outside the folder. The end of input stops it too: twice is fine.
  const stop = () => {
    server?.close();
    server = undefined;
    if (folder) fs.rmSync(path.join(folder, 'socket'), { force: true });
    return {};
  };

  return { describe, start, stop };
}

/** One client. A connection for each call: nothing to open again, no late answer to mix up. @returns {Operations} */
function client() {
  let address = '';
  let patienceMs = 0;

  const ask = async (op, args) => {
    const { ok, fail, info } = await exchange(address, { id: 0, op, args }, patienceMs);
    if (ok) return ok;
    throw fail ? new Refused(fail) : new Error(info?.error);
  };

  return {
    // Must succeed even while the system is down, so it connects to nothing. No later call may take more than timeout_s.
    open: ({ connect, timeout_s }) => {
      address = connect;
      patienceMs = timeout_s * 1000;
      return {};
    },
    probe: () => ask('read', { key: 'probe' }), // cheap and real: an answer means that the system serves
    close: () => ({}),
    // YOURS: the operations of the contracts, by their names.
    read: (args) => ask('read', args),
    write: (args) => ask('write', args), // what is acknowledged must survive every crash
  };
}

/** The store that stands in for yours. @returns {Operations} */
function memory() {
  const entries = new Map();
  const read = ({ key }) => entries.get(key) ?? { value: null, version: 0 };
  const write = ({ key, value, expected_version }) => {
    const { version } = read({ key });
    if ((expected_version ?? version) !== version) throw new Refused({ error: 'conflict', version });
    entries.set(key, { value, version: version + 1 });
    return { version: version + 1 };
  };
  return { read, write };
}

/**
 * Send a request over a connection of its own. What was never sent is refused; later, a loss leaves the outcome unknown.
 *
 * @param {string} address @param {Json} request @param {number} patienceMs @returns {Promise<Json>}
 */
function exchange(address, request, patienceMs) {
  return new Promise((resolve, reject) => {
    let sent = false;
    const connection = net.connect(address, () => {
      sent = true;
      connection.write(`${JSON.stringify(request)}\n`);
    });
    const alarm = setTimeout(() => connection.destroy(new Error('no answer in time')), patienceMs);
    onLines(connection, (line) => {
      resolve(JSON.parse(line));
      connection.destroy();
    });
    connection.on('error', (error) => reject(sent ? error : new Refused({ error: error.message })));
    connection.on('close', () => {
      clearTimeout(alarm);
      reject(new Error('the connection was closed'));
    });
  });
}

/**
 * Call `take` with every complete line. Not node:readline: it also splits at U+2028, which JSON texts may contain.
 *
 * @param {NodeJS.ReadableStream} stream @param {(line: string) => void} take
 */
function onLines(stream, take) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    lines.filter(Boolean).forEach(take);
  });
}

/** @param {Json} request @param {Operations} operations @returns {Promise<Json>} */
async function answer({ id, op, args = {} }, operations) {
  try {
    if (!Object.hasOwn(operations, op)) throw new Refused({ error: 'not offered', message: `there is no ${op} here` });
    return { id, ok: await operations[op](args) };
  } catch (error) {
    return error instanceof Refused ? { id, fail: error.details } : { id, info: { error: String(error) } };
  }
}

/** @param {Json} message */
const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** @type {Operations} */
const operations = {
  hello: ({ protocol, role }) => {
    if (protocol !== PROTOCOL) throw new Refused({ error: `this adapter speaks protocol ${PROTOCOL}, not ${protocol}` });
    Object.assign(operations, role === 'host' ? host() : client());
    return { protocol };
  },
};

// Requests are answered in order, one at a time; the end of the input is the end of everything.
let turn = Promise.resolve();
onLines(process.stdin, (line) => {
  turn = turn.then(async () => void send(await answer(JSON.parse(line), operations)));
});
process.stdin.on('end', async () => {
  await turn;
  await operations.stop?.({});
  process.exit();
});
