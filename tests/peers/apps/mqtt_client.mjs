// A client of a broker of MQTT over WebSockets, with mqtt.js: mqtt_client.mjs URL (and NODE_EXTRA_CA_CERTS).
import assert from "node:assert/strict";
import { once } from "node:events";

import mqtt from "mqtt";

import { run } from "./steps.mjs";

const url = process.argv[2].replace("https", "wss") + "/mqtt";
const open = (options) => mqtt.connectAsync(url, { reconnectPeriod: 0, ...options }, false);

async function publish_and_subscribe() {
  for (const protocolVersion of [4, 5]) {
    const [one, other] = await Promise.all([open({ protocolVersion }), open({ protocolVersion })]);
    await other.subscribeAsync("room/#", { qos: 2 });
    for (const [qos, text] of [[0, "Grüße"], [1, ""], [2, "x".repeat(20_000)]]) {
      const said = once(other, "message");
      await one.publishAsync("room/a", text, { qos });
      const [topic, payload] = await said;
      assert.deepEqual([topic, String(payload)], ["room/a", text]);
    }
    await Promise.all([one.endAsync(), other.endAsync()]);
  }
}

async function retained() {
  const one = await open();
  await one.publishAsync("kept", "still here", { qos: 1, retain: true });
  await one.endAsync();
  const other = await open();
  const said = once(other, "message");
  await other.subscribeAsync("kept");
  assert.equal(String((await said)[1]), "still here");
  await other.endAsync();
}

// The broker says it when the client vanishes without a goodbye.
async function last_will() {
  const watcher = await open();
  await watcher.subscribeAsync("wills");
  const said = once(watcher, "message");
  const mortal = await open({ will: { topic: "wills", payload: "gone", qos: 1, retain: false } });
  mortal.stream.destroy();
  assert.equal(String((await said)[1]), "gone");
  await watcher.endAsync();
}

async function keepalive() {
  const client = await open({ keepalive: 3 });
  const pongs = [];
  client.on("packetreceive", (packet) => packet.cmd === "pingresp" && pongs.push(packet));
  while (pongs.length < 2) await once(client, "packetreceive");
  await client.endAsync();
}

await run(publish_and_subscribe, retained, last_will, keepalive);
process.exit();
