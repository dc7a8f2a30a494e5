// Many connects of socket.io-client to several servers: socketio_many.mjs URL CA user|address (and NODE_EXTRA_CA_CERTS).
// `user`: many users at one address; `address`: one user at many addresses, which X-Forwarded-For names.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent } from "node:https";

import { SignJWT } from "jose";
import { io } from "socket.io-client";

import { run } from "./steps.mjs";

const [url, , key] = process.argv.slice(2);
const KEYS = 40;
const CONNECTS = 500;
const AT_ONCE = 25;

// As a browser has it: connections that carry requests of many sessions, one after the other.
const agent = new Agent({ keepAlive: true, maxSockets: 2 * AT_ONCE });
// The ports of the servers that each key reached.
const reached = Array.from({ length: KEYS }, () => new Set());

async function fields(number) {
  const user = `user-${key === "user" ? number : 0}`;
  const secret = new TextEncoder().encode(process.env.LOGIN_SECRET);
  const token = await new SignJWT({ sub: user })
    .setProtectedHeader({ alg: "HS256" }).setExpirationTime("10 min").sign(secret);
  const address = key === "address" ? `198.51.100.${number}` : "198.51.100.1";
  return { user, extraHeaders: { Cookie: `session=${token}`, "X-Forwarded-For": address } };
}

const everyone = await Promise.all([...Array(KEYS).keys()].map(fields));

async function connect(number, transports) {
  const { user, extraHeaders } = everyone[number];
  const socket = io(url, { forceNew: true, reconnection: false, agent, extraHeaders, transports });
  const broken = Promise.race([
    once(socket, "connect_error").then(([error]) => [error.message, error.context?.responseText]),
    once(socket, "disconnect"),
  ]).then((why) => { throw new Error(`${user} over ${transports}: ${JSON.stringify(why)}`); });
  broken.catch(() => {});
  const used = async () => {
    await once(socket, "connect");
    // The upgrade may have come first.
    if (socket.io.engine.transport.name !== transports.at(-1)) await once(socket.io.engine, "upgrade");
    assert.deepEqual(await socket.emitWithAck("echo", Buffer.from(user)), Buffer.from(user));
    assert.equal(await socket.emitWithAck("transport"), transports.at(-1));
    const where = await socket.emitWithAck("where");
    assert.equal(where.user, user);
    reached[number].add(where.port);
  };
  await Promise.race([used(), broken]);
  socket.disconnect();
}

async function all(transports) {
  let next = 0;
  const client = async () => {
    while (next < CONNECTS) await connect(next++ % KEYS, transports);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
}

async function polling_first_then_upgrade() {
  await all(["polling", "websocket"]);
}

async function polling_alone() {
  await all(["polling"]);
}

async function each_stays_and_all_are_used() {
  for (const ports of reached) assert.equal(ports.size, 1, [...ports].join());
  assert.equal(new Set(reached.flatMap((ports) => [...ports])).size, 3);
}

await run(polling_first_then_upgrade, polling_alone, each_stays_and_all_are_used);
process.exit();
