// A client of phoenix_server.mjs with phoenix.js: phoenix_client.mjs URL CA_FILE TOKEN VERSION. Its token is for the room
// red, and for no administrator.
import assert from "node:assert/strict";

import { Socket } from "phoenix";

import { run } from "../apps/steps.mjs";
import { socketWith } from "./socket.mjs";

const [url, caFile, token, vsn] = process.argv.slice(2);
const version1 = {
  encode: (message, sent) => sent(JSON.stringify(message)),
  decode: (text, received) => received(JSON.parse(text)),
};
const socket = new Socket(url, {
  transport: socketWith(caFile, token), vsn, ...(vsn === "1.0.0" ? version1 : {}),
});
let red;

// The status of a reply with its response; no answer in time is a failure.
function answered(push) {
  return new Promise((resolve, reject) => {
    for (const status of ["ok", "error"]) push.receive(status, (response) => resolve([status, response]));
    push.receive("timeout", () => reject(new Error("timeout")));
  });
}

async function refused(push, reason) {
  const [status, response] = await answered(push);
  assert.equal(status, "error");
  assert.equal(response.reason, reason);
  assert.match(response.request_id, /./);
}

async function connect() {
  socket.connect();
  await new Promise((resolve) => socket.onOpen(resolve));
}

async function own_room() {
  red = socket.channel("room:red", {});
  assert.deepEqual(await answered(red.join()), ["ok", {}]);
  const said = new Promise((resolve) => red.on("said", resolve));
  assert.deepEqual(await answered(red.push("say", { text: "Grüße" })), ["ok", {}]);
  assert.deepEqual(await said, { text: "Grüße" });
}

async function room_of_others() {
  const blue = socket.channel("room:blue", {});
  await refused(blue.join(), "message.claim");
  assert.equal(blue.state, "errored");
  await answered(blue.leave());
}

async function other_events() {
  await refused(red.push("shout", {}), "message.type");
  await refused(red.push("close", {}), "message.claim");
}

async function binary() {
  if (vsn === "1.0.0") return;
  const bytes = Uint8Array.from([0xff, 0, 1, 2]);
  const [status, response] = await answered(red.push("upload", bytes.buffer));
  assert.equal(status, "ok");
  assert.deepEqual(new Uint8Array(response), bytes);
  await refused(red.push("close", bytes.buffer), "message.claim");
}

async function heartbeat() {
  await new Promise((resolve) => assert.ok(socket.ping(resolve)));
}

async function still_joined() {
  assert.deepEqual(await answered(red.push("say", { text: "again" })), ["ok", {}]);
  assert.deepEqual(await answered(red.leave()), ["ok", {}]);
}

// A client that waits for an answer in vain fails.
setTimeout(() => { throw new Error("it does not end"); }, 30_000);
await run(connect, own_room, room_of_others, other_events, binary, heartbeat, still_joined);
process.exit();
