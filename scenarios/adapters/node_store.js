// @ts-check
/**
 * A versioned store in Node.js: the example of an adapter that is not written in Python (no packages needed).
 *
 *     node node_store.js               the adapter: host or client, as `hello` says
 *     node node_store.js serve FOLDER  the service: keeps the data, answers the clients on FOLDER/socket
 *
 * The service appends every write to FOLDER/journal, and to the disk, before it acknowledges it. The host starts the
 * service and starts it again whenever it dies; a new service reads the journal and cuts a torn last line. Everything
 * dies with the host.
 *
 * Not promised: the lines have no checksums, so a flipped bit may go unnoticed. `targets/state` shows how to do that.
 *
 * How adapter and harness speak is described in harness/wire.py, how to write your own in README.md beside this file.
 *
 * @typedef {Record<string, any>} Json
 * @typedef {{id: number, op: string, args?: Json}} Request
 * @typedef {{id: number, ok?: Json, fail?: Json, info?: Json}} Answer
 * @typedef {Record<string, (args: Json) => Json | Promise<Json>>} Operations
 */
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const timers = require('node:timers/promises');

const PROTOCOL = 1;
const RETRY_MS = 100;
const NEWLINE = 10;

/** What is certainly not done, now or later; `details` say why. Every other error means: outcome unknown. */
class Refused extends Error {
  /** @param {Json} details */
  constructor(details) {
    super(details.error);
    this.details = details;
  }
}

/** @param {NodeJS.WritableStream} stream @param {Json} message */
const send = (stream, message) => stream.write(`${JSON.stringify(message)}\n`);

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

/**
 * Carry out one request and turn what comes of it into its answer.
 *
 * @param {Request} request @param {Operations} operations @returns {Promise<Answer>}
 */
async function answer({ id, op, args = {} }, operations) {
  try {
    if (!Object.hasOwn(operations, op)) throw new Refused({ error: 'not offered', message: `there is no ${op} here` });
    return { id, ok: await operations[op](args) };
  } catch (error) {
    return error instanceof Refused ? { id, fail: error.details } : { id, info: { error: String(error) } };
  }
}

/**
 * The operations of the contract `versioned_store`, on what the journal holds.
 *
 * @param {string} folder @returns {Operations}
 */
function store(folder) {
  const file = path.join(folder, 'journal');
  const journal = fs.openSync(file, 'a');
  const entries = restore(file);
  // What was restored will be served, so it must be on the disk; so must the name of a file that is new.
  [journal, fs.openSync(folder, 'r')].forEach(fs.fsyncSync);

  const read = ({ key }) => entries.get(key) ?? { value: null, version: 0 };

  const write = ({ key, value, expected_version }) => {
    const { version } = read({ key });
    if (expected_version !== undefined && expected_version !== version) throw new Refused({ error: 'conflict', version });
    const entry = { key, value, version: version + 1 };
    append(journal, `${JSON.stringify(entry)}\n`);
    entries.set(key, { value, version: entry.version });
    return { version: entry.version };
  };
  return { read, write };
}

/** @param {string} file @returns {Map<string, Json>} what its whole lines say; a torn last line is cut off */
function restore(file) {
  const bytes = fs.readFileSync(file);
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  fs.truncateSync(file, end);
  const lines = bytes.subarray(0, end).toString().split('\n').filter(Boolean);
  return new Map(lines.map((line) => JSON.parse(line)).map(({ key, value, version }) => [key, { value, version }]));
}

/** @param {number} journal @param {string} line */
function append(journal, line) {
  try {
    fs.appendFileSync(journal, line);
    fs.fsyncSync(journal);
  } catch (error) {
    // After a failed write nobody knows what the disk holds, and a second fsync would lie: begin again from the disk.
    console.error(error);
    process.exit(1);
  }
}

/** Restore, then serve until the host goes. What is reported on the way are the host's events. @param {string} folder */
function serve(folder) {
  const report = (event, data = {}) => send(process.stdout, { event, data });
  process.stdin.on('end', () => process.exit()).resume();
  report('service.started', { pid: process.pid });
  report('restore.begin');
  const operations = store(folder);
  const server = net.createServer((connection) => {
    connection.on('error', () => connection.destroy());
    onLines(connection, async (line) => send(connection, await answer(JSON.parse(line), operations)));
  });
  const socket = path.join(folder, 'socket');
  fs.rmSync(socket, { force: true }); // a killed service leaves it behind
  server.listen(socket, () => report('restore.end'));
}

/** @returns {Operations} */
function host() {
  let folder = '';
  let stopping = false;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let service;

  const describe = () => ({
    name: 'node store',
    contracts: ['versioned_store'],
    handles: {
      service: { type: 'process', ...(service && { pid: service.pid }) },
      journal: { type: 'file', ...(folder && { path: path.join(folder, 'journal') }) },
      folder: { type: 'folder', ...(folder && { path: folder }) },
    },
    events: ['service.started', 'restore.begin', 'restore.end'],
    failpoints: [],
  });

  const start = async (args) => {
    folder = args.folder;
    await launch();
    return { connect: path.join(folder, 'socket') };
  };

  // Every acknowledged write is on the disk, so there is nothing to say goodbye for: stopping is a kill.
  const stop = async () => {
    stopping = true;
    if (service?.kill('SIGKILL')) await once(service, 'close');
    if (folder) fs.rmSync(path.join(folder, 'socket'), { force: true });
    return {};
  };

  /** Resolves when the service serves; from then on it is started again, at once, whenever it ends. */
  const launch = () => new Promise((resolve, reject) => {
    let ready = false;
    // BIGFIVE_LABEL is inherited with the rest of the environment; standard input ends when this process does.
    const child = spawn(process.execPath, [__filename, 'serve', folder], { stdio: ['pipe', 'pipe', 'inherit'] });
    service = child;
    onLines(child.stdout, (line) => {
      process.stdout.write(`${line}\n`);
      ready ||= JSON.parse(line).event === 'restore.end';
      if (ready) resolve(undefined);
    });
    child.once('close', () => {
      service = undefined;
      if (ready) relaunch();
      else reject(new Error('the service ended before it served; its standard error says why'));
    });
  });

  const relaunch = async () => {
    while (!stopping && !(await launch().then(() => true, () => false))) await timers.setTimeout(RETRY_MS);
  };

  return { describe, start, stop };
}

/** @returns {Operations} */
function client() {
  let socket = '';
  let patienceMs = 0;

  // A connection for each operation: there is nothing to open again after a loss, and no late answer to mix up.
  const ask = async (op, args) => {
    const { ok, fail, info } = await exchange(socket, { id: 0, op, args }, patienceMs);
    if (ok) return ok;
    throw fail ? new Refused(fail) : new Error(info?.error);
  };

  return {
    open: ({ connect, timeout_s }) => {
      socket = connect;
      patienceMs = timeout_s * 1000;
      return {};
    },
    probe: () => ask('read', { key: 'probe' }),
    close: () => ({}),
    read: (args) => ask('read', args),
    write: (args) => ask('write', args),
  };
}

/**
 * Send one request to the service and return its answer. What was never sent is `Refused`; once it is sent, an error
 * or a silence leaves the outcome unknown.
 *
 * @param {string} socket @param {Request} request @param {number} patienceMs @returns {Promise<Answer>}
 */
function exchange(socket, request, patienceMs) {
  return new Promise((resolve, reject) => {
    let sent = false;
    const lost = (why) => reject(sent ? new Error(why) : new Refused({ error: why }));
    const connection = net.connect(socket, () => {
      sent = true;
      send(connection, request);
    });
    const alarm = setTimeout(() => connection.destroy(new Error('no answer in time')), patienceMs);
    onLines(connection, (line) => {
      resolve(JSON.parse(line));
      connection.destroy();
    });
    connection.on('error', (error) => lost(error.message));
    connection.on('close', () => {
      clearTimeout(alarm);
      lost('the connection was closed');
    });
  });
}

/** Answer requests in order, one at a time; the end of the input is the end of everything. */
function adapt() {
  const hello = ({ protocol, role }) => {
    if (protocol !== PROTOCOL) throw new Refused({ error: `this adapter speaks protocol ${PROTOCOL}, not ${protocol}` });
    Object.assign(operations, role === 'host' ? host() : client());
    return { protocol };
  };
  /** @type {Operations} */
  const operations = { hello };
  let turn = Promise.resolve();
  onLines(process.stdin, (line) => {
    turn = turn.then(async () => void send(process.stdout, await answer(JSON.parse(line), operations)));
  });
  process.stdin.on('end', async () => {
    await operations.stop?.({});
    process.exit();
  });
}

const [, , command, folder] = process.argv;
if (command === 'serve') serve(folder);
else adapt();
