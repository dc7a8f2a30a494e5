// Clients of stomp_broker.mjs with @stomp/stompjs: stomp_client.mjs URL CA_FILE TOKEN. Their token is for the room red, and
// for no administrator.
import assert from "node:assert/strict";

import { Client } from "@stomp/stompjs";

import { run } from "../apps/steps.mjs";
import { socketWith } from "./socket.mjs";

const [url, caFile, token] = process.argv.slice(2);
const Socket = socketWith(caFile, token);

// A connected client. The ERROR frames that it gets wait in `errors`.
async function open(options = {}) {
  const client = new Client({
    webSocketFactory: () => new Socket(url, ["v12.stomp", "v11.stomp"]),
    heartbeatOutgoing: 0,
    heartbeatIncoming: 0,
    reconnectDelay: 0,
    ...options,
  });
  const errors = [];
  let wake = () => {};
  client.onStompError = (frame) => { errors.push(frame); wake(); };
  client.error = async () => {
    while (errors.length === 0) await new Promise((resolve) => { wake = resolve; });
    const { headers, body } = errors.shift();
    assert.match(JSON.parse(body).request_id, /./);
    assert.equal(JSON.parse(body).reason, headers.message);
    return headers;
  };
  client.closed = new Promise((resolve) => { client.onWebSocketClose = resolve; });
  const connected = new Promise((resolve) => { client.onConnect = resolve; });
  client.activate();
  await connected;
  return client;
}

const receipt = (client, id) => new Promise((resolve) => client.watchForReceipt(id, resolve));
let ada;
let bob;

async function own_room() {
  [ada, bob] = await Promise.all([open(), open()]);
  const received = new Promise((resolve) => bob.subscribe("/topic/rooms/red", resolve));
  // The broker handles the frames of one client in their order.
  const subscribed = receipt(bob, "after");
  bob.publish({ destination: "/topic/rooms/red/empty", headers: { receipt: "after" } });
  await subscribed;
  const sent = receipt(ada, "said");
  ada.publish({
    destination: "/topic/rooms/red",
    headers: { receipt: "said", "content-type": "application/json" },
    body: JSON.stringify({ text: "hello" }),
  });
  await sent;
  assert.deepEqual(JSON.parse((await received).body), { text: "hello" });
}

async function room_of_others() {
  ada.subscribe("/topic/rooms/blue", () => assert.fail("the subscription was refused"));
  assert.equal((await ada.error()).message, "message.claim");
  ada.publish({ destination: "/queue/admin", headers: { receipt: "r1" }, body: "stop" });
  const error = await ada.error();
  assert.deepEqual([error.message, error["receipt-id"]], ["message.claim", "r1"]);
}

async function wildcards() {
  for (const destination of ["/topic/rooms/**", "/topic/**"]) {
    ada.subscribe(destination, () => assert.fail("the subscription was refused"));
    assert.equal((await ada.error()).message, "message.type");
  }
}

async function bodies() {
  ada.publish({ destination: "/topic/rooms/red", body: '{"text":"a","text":"b"}' });
  assert.equal((await ada.error()).message, "message.structure");
  const sent = receipt(ada, "bytes");
  ada.publish({
    destination: "/topic/rooms/red", headers: { receipt: "bytes" }, binaryBody: Uint8Array.from([0xff, 0, 1]),
  });
  await sent;
}

async function frames_over_several_messages() {
  const client = await open({ splitLargeFrames: true, maxWebSocketChunkSize: 1000 });
  client.publish({ destination: "/topic/rooms/red", body: "x".repeat(1500) });
  assert.equal((await client.error()).message, "message.structure");
  await client.deactivate();
}

async function heart_beats() {
  let beats = 0;
  let enough;
  const beaten = new Promise((resolve) => { enough = resolve; });
  const client = await open({
    heartbeatOutgoing: 100,
    debug: (what) => what === ">>> PING" && ++beats === 2 && enough(),
  });
  await beaten;
  const sent = receipt(client, "alive");
  client.publish({ destination: "/topic/rooms/red", headers: { receipt: "alive" }, body: "hello" });
  await sent;
  await client.deactivate();
}

async function transactions() {
  const aborted = ada.begin();
  ada.publish({ destination: "/queue/admin", headers: { transaction: aborted.id } });
  assert.equal((await ada.error()).message, "message.claim");
  aborted.abort();
  const committed = ada.begin();
  ada.publish({ destination: "/queue/admin", headers: { transaction: committed.id } });
  assert.equal((await ada.error()).message, "message.claim");
  committed.commit();
  const { code, reason } = await ada.closed;
  assert.deepEqual([code, reason], [1007, "message.structure"]);
  // It waits for a receipt.
  await bob.deactivate();
}

// A client that waits for an answer in vain fails.
setTimeout(() => { throw new Error("it does not end"); }, 30_000);
await run(own_room, room_of_others, wildcards, bodies, frames_over_several_messages, heart_beats, transactions);
process.exit();
