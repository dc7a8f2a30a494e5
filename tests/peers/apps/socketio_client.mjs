// A client of the application of Socket.IO with socket.io-client: socketio_client.mjs URL (and NODE_EXTRA_CA_CERTS).
import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";

import { io } from "socket.io-client";

import { run } from "./steps.mjs";

const url = process.argv[2];

async function open(options = {}, space = "") {
  const socket = io(url + space, { forceNew: true, reconnection: false, ...options });
  const failed = once(socket, "connect_error").then(([error]) => {
    throw new Error("connect_error", { cause: error.context ?? error });
  });
  // Where it connects, nothing fails.
  failed.catch(() => {});
  await Promise.race([once(socket, "connect"), failed]);
  return socket;
}

const upgraded = (socket) =>
  socket.io.engine.transport.name === "websocket" || once(socket.io.engine, "upgrade");

async function use(socket) {
  const values = [1, "Grüße", { deep: [null, true] }, Buffer.from([1, 2, 3]), "x".repeat(300_000), Buffer.alloc(300_000, 7)];
  for (const value of values) {
    assert.deepEqual(await socket.timeout(15_000).emitWithAck("echo", value), value);
  }
  const echoes = [...values, ...Array(100).keys()].map((value) => socket.timeout(15_000).emitWithAck("echo", value));
  assert.equal((await Promise.all(echoes)).length, 106);
}

async function page_and_script() {
  assert.match(await (await fetch(url)).text(), /socket.io.js/);
  const script = await fetch(url + "/socket.io/socket.io.js");
  assert.equal(script.status, 200);
  assert.match(await script.text(), /Socket.IO v4/);
}

async function polling_first_then_upgrade() {
  const socket = io(url, { forceNew: true, reconnection: false });
  const hello = once(socket, "hello");
  await once(socket, "connect");
  assert.deepEqual((await hello)[0], { transport: "polling", address: "127.0.0.1" });
  await upgraded(socket);
  await use(socket);
  assert.equal(await socket.emitWithAck("transport"), "websocket");
  socket.disconnect();
}

async function polling_alone() {
  const socket = await open({ transports: ["polling"] });
  await use(socket);
  assert.equal(await socket.emitWithAck("transport"), "polling");
  const left = once(socket, "disconnect");
  socket.emit("leave");
  assert.equal((await left)[0], "io server disconnect");
}

async function socket_alone() {
  const socket = await open({ transports: ["websocket"] });
  await use(socket);
  socket.disconnect();
}

async function rooms_across_transports() {
  const sockets = await Promise.all([
    open({ transports: ["polling"] }), open({ transports: ["websocket"] }), open(),
  ]);
  await Promise.all(sockets.map((socket) => socket.emitWithAck("join", "room")));
  const said = sockets.map((socket) => once(socket, "said"));
  sockets[0].emit("say", "room", "to all");
  assert.deepEqual(await Promise.all(said), [["to all"], ["to all"], ["to all"]]);
  for (const socket of sockets) socket.disconnect();
}

async function namespaces() {
  const admin = await open({ auth: { key: "k" } }, "/admin");
  admin.disconnect();
  const refused = io(url + "/admin", { forceNew: true, reconnection: false });
  const [error] = await once(refused, "connect_error");
  assert.equal(error.message, "no key");
  refused.disconnect();
}

async function many_at_once() {
  const sockets = await Promise.all(Array.from({ length: 50 }, () => open()));
  await Promise.all(sockets.map(upgraded));
  const values = await Promise.all(sockets.map((socket, number) => socket.emitWithAck("echo", number)));
  assert.deepEqual(values, [...values.keys()]);
  for (const socket of sockets) socket.disconnect();
}

// The server pings every 25 s: a poll that nothing else answers waits as long.
async function a_poll_waits_for_the_ping() {
  const socket = await open({ transports: ["polling"] });
  const pinged = once(socket.io, "ping").then(() => "ping");
  const left = once(socket, "disconnect").then(([reason]) => reason);
  assert.equal(await Promise.race([pinged, left]), "ping");
  // The pong was accepted if the connection still works.
  await setTimeout(500);
  assert.equal(await socket.timeout(5_000).emitWithAck("echo", "still here"), "still here");
  socket.disconnect();
}

await run(
  page_and_script, polling_first_then_upgrade, polling_alone, socket_alone,
  rooms_across_transports, namespaces, many_at_once, a_poll_waits_for_the_ping,
);
process.exit();
