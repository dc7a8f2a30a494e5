// A client as people write it: runs scenarios against an echo application.
//
//     node client.mjs URL CA_FILE [SCENARIO...]
//
// Prints one JSON object a scenario, {"step": ..., "ok": true, ...}. The first one that fails says
// why, and ends the program with 1.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { WebSocket } from "ws";

const MIB = 2 ** 20;
const [url, caFile, ...wanted] = process.argv.slice(2);
const options = { ca: readFileSync(caFile), maxPayload: 4 * MIB };

// Messages in the order they came: a text is a string, anything else a Buffer.
class Inbox {
  #messages = [];
  #waiting = [];

  constructor(ws) {
    ws.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      const next = this.#waiting.shift();
      if (next) next(message);
      else this.#messages.push(message);
    });
  }

  async next() {
    if (this.#messages.length > 0) return this.#messages.shift();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

async function echoed(ws, inbox, message) {
  ws.send(message);
  assert.deepEqual(await inbox.next(), message);
}

async function closed(ws) {
  const [code, reason] = await once(ws, "close");
  return { code, reason: reason.toString() };
}

const scenarios = {
  async text(ws, inbox) {
    await echoed(ws, inbox, "hello");
  },
  async binary(ws, inbox) {
    await echoed(ws, inbox, Buffer.from(Array.from({ length: 256 }, (_, index) => index)));
  },
  async empty(ws, inbox) {
    await echoed(ws, inbox, "");
    await echoed(ws, inbox, Buffer.alloc(0));
  },
  async non_ascii(ws, inbox) {
    await echoed(ws, inbox, "Grüße, 世界, \u{1f600}, e\u0301");
  },
  async large(ws, inbox) {
    await echoed(ws, inbox, "ä".repeat(MIB / 2));
    await echoed(ws, inbox, Buffer.alloc(MIB));
  },
  async large_from_application(ws, inbox) {
    ws.send(`big ${MIB}`);
    assert.deepEqual(await inbox.next(), Buffer.alloc(MIB));
  },
  async fragments(ws, inbox) {
    ws.send("one ", { fin: false });
    ws.send("", { fin: false });
    ws.send("two ", { fin: false });
    ws.send("drei ü", { fin: true });
    assert.equal(await inbox.next(), "one two drei ü");
  },
  async fragments_from_application(ws, inbox) {
    ws.send("fragment 5");
    assert.equal(await inbox.next(), "part0 part1 part2 part3 part4 ");
  },
  async ping(ws, inbox) {
    const ponged = once(ws, "pong");
    ws.ping("are you there");
    const [payload] = await ponged;
    assert.equal(payload.toString(), "are you there");
    await echoed(ws, inbox, "still here");
  },
  async ping_from_application(ws, inbox) {
    ws.send("ping-me hi");
    assert.equal(await inbox.next(), "ponged hi");
  },
  async many_in_order(ws, inbox) {
    const messages = Array.from({ length: 500 }, (_, index) => `message ${index}`);
    for (const message of messages) ws.send(message);
    for (const message of messages) assert.equal(await inbox.next(), message);
  },
  async no_extension(ws, inbox) {
    assert.equal(ws.extensions, "");
    ws.send("extensions");
    assert.equal(await inbox.next(), "[]");
  },
  async close_from_application(ws) {
    ws.send("close 4001 bye");
    const end = await closed(ws);
    assert.deepEqual(end, { code: 4001, reason: "bye" });
    return end;
  },
  async close(ws) {
    ws.close(4002, "done");
    const end = await closed(ws);
    assert.deepEqual(end, { code: 4002, reason: "done" });
    return end;
  },
};

const named = {
  ...scenarios,
  async lost(ws) {
    ws.send("die");
    return closed(ws);
  },
  async subprotocol(ws) {
    return { subprotocol: ws.protocol };
  },
  async extension(ws, inbox) {
    assert.equal(ws.extensions, "permessage-deflate");
    ws.send("extensions");
    assert.deepEqual(JSON.parse(await inbox.next()), ["permessage-deflate"]);
  },
  async compressed(ws, inbox) {
    for (let number = 0; number < 3; number++) {
      await echoed(ws, inbox, `message ${number}: ` + "Grüße ".repeat(500));
    }
  },
  async first_message(ws, inbox) {
    ws.send("token-of-alice");
    assert.equal(await inbox.next(), "welcome alice");
  },
};

async function refused() {
  const ws = new WebSocket(url, options);
  ws.on("error", () => {});
  const [, response] = await once(ws, "unexpected-response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, reason: JSON.parse(body).reason };
}

async function run(name) {
  if (name === "refused") return refused();
  const offer = name === "subprotocol" ? ["chat.v9", "chat.v2"] : [];
  const ws = new WebSocket(url, offer, options);
  const inbox = new Inbox(ws);
  await once(ws, "open");
  const result = await named[name](ws, inbox);
  if (ws.readyState === WebSocket.OPEN) {
    ws.close(1000);
    await closed(ws);
  }
  return result;
}

function deadline() {
  return after(20_000, undefined, { ref: false }).then(() => {
    throw new Error("nothing happened for 20 s");
  });
}

for (const name of wanted.length > 0 ? wanted : Object.keys(scenarios)) {
  try {
    const result = await Promise.race([run(name), deadline()]);
    console.log(JSON.stringify({ step: name, ok: true, ...result }));
  } catch (error) {
    console.log(JSON.stringify({ step: name, ok: false, error: String(error) }));
    process.exit(1);
  }
}
process.exit(0);
