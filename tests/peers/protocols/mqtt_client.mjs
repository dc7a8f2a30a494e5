// A client of mosquitto with mqtt.js: mqtt_client.mjs URL CA_FILE TOKEN VERSION. Its token is for the room red and the
// client ids "a" and "b".
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";

import mqtt from "mqtt";

import { run } from "../apps/steps.mjs";

const [url, caFile, token, version] = process.argv.slice(2);
const protocolVersion = Number(version);
const wsOptions = { ca: readFileSync(caFile), headers: { Authorization: `Bearer ${token}` } };
const open = (options) =>
  mqtt.connectAsync(url, { reconnectPeriod: 0, protocolVersion, wsOptions, clientId: "a", ...options }, false);
const settings = protocolVersion === 5 ? { properties: { topicAliasMaximum: 5 } } : {};
const aliases = protocolVersion === 5 ? { autoAssignTopicAlias: true } : {};
let client;
let other;

async function connect() {
  [client, other] = await Promise.all([open({ ...settings, ...aliases }), open({ clientId: "b", ...settings })]);
}

async function own_room() {
  const grants = await other.subscribeAsync(["rooms/red", "rooms/red/+/x"], { qos: 2 });
  assert.deepEqual(grants.map((grant) => grant.qos), [2, 2]);
  for (const [qos, text] of [[0, "Grüße"], [1, ""], [2, "x".repeat(300_000)], [0, "again"]]) {
    const said = once(other, "message");
    await client.publishAsync("rooms/red", text, { qos });
    const [topic, payload] = await said;
    assert.deepEqual([topic, String(payload)], ["rooms/red", text]);
  }
}

async function refused_subscriptions() {
  const code = protocolVersion === 5 ? 0x87 : 0x80;
  // The last two overlap a filter of admins.
  for (const filters of [["rooms/blue"], ["rooms/#"], ["#", "+/red"], ["rooms/red/secret"], ["rooms/red/+"]]) {
    const error = await other.subscribeAsync(filters).catch((error) => error);
    assert.deepEqual(error.packet?.granted, filters.map(() => code), filters);
  }
  const said = once(other, "message");
  await client.publishAsync("rooms/red", "still here");
  assert.equal(String((await said)[1]), "still here");
}

async function refused_publish() {
  if (protocolVersion === 5) {
    // It sets an alias, so the session is closed.
    const closed = once(client, "close");
    client.publish("rooms/blue", "x", { qos: 1 });
    await closed;
    client = await open(settings);
  }
  // It gets no answer, and changes nothing.
  await client.publishAsync("rooms/blue", "x", { qos: 0 });
  if (protocolVersion === 5) {
    for (const qos of [1, 2]) {
      await assert.rejects(client.publishAsync("rooms/blue", "x", { qos }), (error) => error.code === 0x87);
    }
    await client.publishAsync("rooms/red", "x", { qos: 1 });
    await client.endAsync();
  } else {
    // Version 3.1.1 has no answer, so the session is closed.
    const closed = once(client, "close");
    client.publish("rooms/blue", "x", { qos: 1 });
    await closed;
  }
}

async function refused_will() {
  const will = (topic) => open({ will: { topic, payload: "gone", qos: 0, retain: false } });
  await assert.rejects(will("rooms/blue"), (error) => error.code === (protocolVersion === 5 ? 0x87 : 5));
  await assert.rejects(open({ clientId: "eve" }), (error) => error.code === (protocolVersion === 5 ? 0x87 : 5));
  const said = once(other, "message");
  const mortal = await will("rooms/red");
  mortal.stream.destroy();
  assert.equal(String((await said)[1]), "gone");
}

async function end() {
  await other.endAsync();
}

// A step that waits for ever fails.
setTimeout(() => { console.log("{\"late\": true}"); process.exit(1); }, 15_000).unref();
await run(connect, own_room, refused_subscriptions, refused_publish, refused_will, end);
process.exit();
