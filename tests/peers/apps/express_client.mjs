// A client of the application of Express, with fetch and ws: express_client.mjs URL (and NODE_EXTRA_CA_CERTS).
// Prints one JSON object a step; the first one that fails says why, and ends the program with 1.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

import WebSocket from "ws";

import { run } from "./steps.mjs";

const url = process.argv[2];
let cookie = "";
const go = (path, options = {}) =>
  fetch(url + path, { redirect: "manual", ...options, headers: { cookie, ...options.headers } });
const json = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

async function logIn(body) {
  const answer = await go("/login", json(body));
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { secure: true });
  const set = answer.headers.getSetCookie();
  assert.match(set[0], /^session=.*; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
  assert.equal(set[1], "theme=dark; Path=/");
  return set.map((line) => line.split(";")[0]).join("; ");
}

async function no_login() {
  for (const path of ["/", "/api/me", "/files/steps.py"]) {
    const answer = await go(path);
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get("www-authenticate"), /^Bearer/);
    assert.equal((await answer.json()).reason, "token.missing");
  }
  const [error] = await once(new WebSocket(url.replace("https", "wss") + "/socket"), "error");
  assert.match(error.message, /401/);
  assert.match(await (await go("/login")).text(), /<title>login/);
}

async function login() {
  cookie = await logIn({ user: "ada" });
  const answer = await go("/");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-encoding"), "br");
  assert.match(await answer.text(), /<title>home/);
  const { host, hostname } = new URL(url);
  // The gateway took the verified cookie out, and left the other.
  const me = { user: "ada", cookie: "theme=dark", protocol: "https", secure: true, hostname, host, ip: "127.0.0.1" };
  assert.deepEqual(await (await go("/api/me", { headers: { "X-User-Id": "eve" } })).json(), me);
}

async function api() {
  const answer = await go("/api/notes", { method: "POST", body: new URLSearchParams({ text: "Grüße" }) });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get("location"), "/api/notes/1");
  assert.deepEqual(await answer.json(), { text: "Grüße", by: "ada" });
  const back = await go("/back");
  assert.equal(back.status, 302);
  assert.equal(back.headers.get("location"), "/");
  assert.equal((await go("/nothing")).status, 404);
}

async function files() {
  const source = readFileSync(new URL("express_app.mjs", import.meta.url));
  const plain = { "Accept-Encoding": "identity" };
  const whole = await go("/files/express_app.mjs", { headers: plain });
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), source);
  const etag = whole.headers.get("etag");
  const same = await go("/files/express_app.mjs", { headers: { "If-None-Match": etag, "Cache-Control": "max-age=0" } });
  assert.equal(same.status, 304);
  assert.equal(same.headers.get("etag"), etag);
  const head = await go("/files/express_app.mjs", { method: "HEAD", headers: plain });
  assert.equal(head.headers.get("content-length"), String(source.length));
  assert.equal(await head.text(), "");
  const part = await go("/files/express_app.mjs", { headers: { Range: "bytes=-10", ...plain } });
  assert.equal(part.status, 206);
  assert.equal(await part.text(), source.subarray(-10).toString());
  const past = await go("/files/express_app.mjs", { headers: { Range: "bytes=9999999-", ...plain } });
  assert.equal(past.status, 416);
  await past.text();
  const folder = await go("/files/django");
  assert.equal(folder.status, 301);
  assert.equal(folder.headers.get("location"), "/files/django/");
}

async function large_bodies() {
  const body = Buffer.alloc(9_000_000);
  const whole = await go("/upload", { method: "POST", body });
  assert.deepEqual(await whole.json(), { size: 9_000_000, length: "9000000" });
  const stream = new Blob([body]).stream();
  const chunked = await go("/upload", { method: "POST", body: stream, duplex: "half" });
  assert.deepEqual(await chunked.json(), { size: 9_000_000, length: null });
  const large = await go("/large");
  assert.equal((await large.arrayBuffer()).byteLength, 8 * 1024 * 1024);
}

// Node closes a connection that was idle for 5 s; the request after that must not fail.
async function after_keep_alive() {
  for (const pause of [3_900, 4_950, 5_050]) {
    await setTimeout(pause);
    const answer = await go("/api/notes", json({ pause }));
    assert.deepEqual(await answer.json(), { pause, by: "ada" });
  }
}

async function many_at_once() {
  const numbers = Array.from({ length: 200 }, (_, number) => number);
  const answers = await Promise.all(numbers.map((number) => go("/api/notes", json({ number }))));
  for (const number of numbers) {
    assert.deepEqual(await answers[number].json(), { number, by: "ada" });
  }
}

async function web_socket() {
  const ws = new WebSocket(url.replace("https", "wss") + "/socket", { origin: url, headers: { cookie } });
  const [hello] = await once(ws, "message");
  assert.deepEqual(JSON.parse(hello), { user: "ada" });
  for (const text of ["hello", "x".repeat(500_000)]) {
    ws.send(text);
    const [echo] = await once(ws, "message");
    assert.equal(String(echo), text);
  }
  ws.close(4000, "bye");
  const [code, reason] = await once(ws, "close");
  assert.deepEqual([code, String(reason)], [4000, "bye"]);
}

async function events() {
  const answer = await go("/events", { headers: { "Last-Event-ID": "7" } });
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  let text = "";
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("id: 10")) break;
  }
  assert.ok(text.startsWith("id: 8\ndata: ada 8\n\nid: 9\n"), text);
}

// With its token ends what the token admitted: the next request, the stream of events and the socket.
async function expiry() {
  cookie = await logIn({ user: "ada", seconds: 3 });
  const ws = new WebSocket(url.replace("https", "wss") + "/socket", { origin: url, headers: { cookie } });
  const closed = once(ws, "close");
  const answer = await go("/events");
  await assert.rejects(async () => { for await (const _ of answer.body); });
  assert.equal((await closed)[0], 4401);
  const late = await go("/api/me");
  assert.equal(late.status, 401);
  assert.equal((await late.json()).reason, "token.expired");
}

await run(no_login, login, api, files, large_bodies, many_at_once, web_socket, events, after_keep_alive, expiry);
process.exit();
