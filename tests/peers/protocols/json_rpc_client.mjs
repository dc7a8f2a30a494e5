// A client of json_rpc_server.mjs with rpc-websockets: json_rpc_client.mjs URL CA_FILE TOKEN. Its token is for the room red,
// and for no administrator.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";

import { Client } from "rpc-websockets";

import { run } from "../apps/steps.mjs";

const [url, caFile, token] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };
const client = new Client(url, { ca: readFileSync(caFile), headers, reconnect: false });
const red = { room: "red", text: "Grüße" };

async function refused(call, reason) {
  await assert.rejects(call, (error) => {
    assert.deepEqual([error.code, error.message], [-32001, reason]);
    assert.match(error.data.request_id, /./);
    return true;
  });
}

async function calls() {
  await once(client, "open");
  const answers = await Promise.all([client.call("say", red), client.call("say", { ...red, text: 7 })]);
  assert.deepEqual(answers, ["red: Grüße", "red: 7"]);
}

async function refused_calls() {
  const between = client.call("say", red);
  await Promise.all([
    refused(client.call("say", { ...red, room: "blue" }), "message.claim"),
    refused(client.call("admin.stop", []), "message.claim"),
    refused(client.call("other"), "message.type"),
  ]);
  assert.equal(await between, "red: Grüße");
}

// A refused one has no answer, and a call after it has.
async function notifications() {
  await client.notify("say", { ...red, room: "blue" });
  await client.notify("say", red);
  assert.equal(await client.call("say", red), "red: Grüße");
}

async function events() {
  await client.subscribe("said");
  const said = new Promise((resolve) => client.on("said", resolve));
  await client.call("tell", { text: "hello" });
  assert.equal(await said, "hello");
}

// The client has no batches, and the server has.
async function batches() {
  const batch = async (...calls) => {
    const answered = once(client.socket, "message");
    client.socket.send(JSON.stringify(calls.map((call, index) => ({ jsonrpc: "2.0", id: index + 1, ...call }))));
    return JSON.parse((await answered)[0].toString());
  };
  const say = { method: "say", params: red };
  assert.deepEqual((await batch(say, say)).map(({ result }) => result), ["red: Grüße", "red: Grüße"]);
  const errors = await batch(say, { method: "admin.stop", params: [] });
  assert.deepEqual(errors.map(({ id, error }) => [id, error.message]), [[1, "message.claim"], [2, "message.claim"]]);
}

// A client that waits for an answer in vain fails.
setTimeout(() => { throw new Error("it does not end"); }, 30_000);
await run(calls, refused_calls, notifications, events, batches);
process.exit();
