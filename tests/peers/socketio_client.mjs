// A client of socketio.mjs through the gateway: prints one JSON object for each step.
//
//     node socketio_client.mjs URL USER_TOKEN ADMIN_TOKEN TRANSPORTS CA_FILE
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";

import { io } from "socket.io-client";

const [url, user, admin] = process.argv.slice(2);
const all = process.argv[5].split(",");
const ca = readFileSync(process.argv[6]);

function socket(token, space = "", transports = all) {
  const extraHeaders = { authorization: `Bearer ${token}` };
  return io(url + space, { path: "/ws/socket.io", forceNew: true, reconnection: false, transports, extraHeaders, ca });
}

async function open(token, space) {
  const opened = socket(token, space);
  await Promise.race([once(opened, "connect"), once(opened, "connect_error").then(([error]) => { throw error; })]);
  const { engine } = opened.io;
  if (all.length > 1 && engine.transport.name !== "websocket") await once(engine, "upgrade");
  return opened;
}

const step = (name, facts) => console.log(JSON.stringify({ step: name, ...facts }));

const ada = await open(user);
const within = ada.timeout(10_000);
assert.deepEqual(await within.emitWithAck("say", { room: "red" }), { said: { room: "red" } });
const [sizes, first, second] = await new Promise((resolve) =>
  ada.emit("upload", Buffer.from([1, 2]), Buffer.alloc(3000), (...answer) => resolve(answer)));
assert.deepEqual([sizes, first.length, second.length], [[2, 3000], 2, 3000]);
step("passes", { transport: ada.io.engine.transport.name });

const refused = await ada.timeout(10_000).emitWithAck("say", { room: "blue" });
step("acknowledged", { error: refused.error, request_id: typeof refused.request_id });
const called = await new Promise((resolve) => ada.emit("other", 1, resolve));
step("called", { error: called.error });
const exception = once(ada, "exception");
ada.emit("say", { room: "blue" });
step("told", (await exception)[0]);
const many = await ada.timeout(10_000).emitWithAck("upload", Buffer.from("a"), Buffer.from("b"), Buffer.from("c"));
step("too many attachments", { error: many.error });
assert.deepEqual(await ada.timeout(10_000).emitWithAck("say", { room: "red" }), { said: { room: "red" } });

// An answer is lost if the client changes to a WebSocket before its next poll.
const outside = socket(user, "/admin", all.slice(0, 1));
const [error] = await once(outside, "connect_error");
step("not joined", { error: error.message, request_id: typeof error.data.request_id });

const grace = await open(admin, "/admin");
assert.deepEqual(await grace.timeout(10_000).emitWithAck("delete", 7), { deleted: 7 });
step("joined", {});
const left = once(ada, "disconnect");
ada.emit("leave");
step("left", { reason: (await left)[0] });
process.exit();
