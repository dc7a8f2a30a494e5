// An application of Express: login with a signed cookie, a page, an API, a file, events and a socket of ws.
//
// The gateway verifies the cookie and says in X-User-Id who the user is. LOGIN_SECRET signs the cookie.
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import compression from "compression";
import express from "express";
import { SignJWT } from "jose";
import { WebSocketServer } from "ws";

const app = express();
app.set("trust proxy", "loopback");
app.use(compression({ threshold: 200 }));

app.post("/login", express.json(), async (request, response) => {
  const { user, seconds = 3600 } = request.body;
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
    .sign(new TextEncoder().encode(process.env.LOGIN_SECRET));
  response.cookie("session", token, { httpOnly: true, secure: request.secure, sameSite: "lax", path: "/" });
  response.cookie("theme", "dark", { path: "/" });
  response.json({ secure: request.secure });
});
app.get("/login", (request, response) => response.send(page("login")));

app.get("/", (request, response) => response.send(page("home")));
app.get("/api/me", (request, response) => {
  const { protocol, secure, hostname, host, ip } = request;
  const { "x-user-id": user, cookie } = request.headers;
  response.json({ user, cookie, protocol, secure, hostname, host, ip });
});
app.post("/api/notes", express.urlencoded(), express.json(), (request, response) => {
  response.status(201).location("/api/notes/1").json({ ...request.body, by: request.headers["x-user-id"] });
});
app.post("/upload", (request, response) => {
  let size = 0;
  request.on("data", (chunk) => (size += chunk.length));
  request.on("end", () => response.json({ size, length: request.headers["content-length"] ?? null }));
});
app.get("/large", (request, response) => {
  response.type("application/octet-stream");
  createReadStream("/dev/zero", { end: 8 * 1024 * 1024 - 1 }).pipe(response);
});
app.use("/files", express.static(fileURLToPath(new URL(".", import.meta.url))));
app.get("/paths/*path", (request, response) => response.json(request.originalUrl));
app.get("/back", (request, response) => response.redirect("/"));
app.get("/events", (request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  let number = Number(request.headers["last-event-id"] ?? 0);
  const tick = () => response.write(`id: ${++number}\ndata: ${request.headers["x-user-id"]} ${number}\n\n`) && response.flush();
  const timer = setInterval(tick, 50);
  response.on("close", () => clearInterval(timer));
});
app.post("/outcome", express.json(), (request, response) => {
  console.log(JSON.stringify(request.body));
  response.sendStatus(204);
});

// A page that uses all of the application from one origin, and says in /outcome how it went.
function page(name) {
  return `<!doctype html><title>${name}</title><script type=module>
const outcome = { page: ${JSON.stringify(name)} };
try {
  const sent = await fetch("/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"user":"ada"}' });
  outcome.login = await sent.json();
  outcome.cookie = document.cookie;
  outcome.home = (await (await fetch("/")).text()).includes("<title>home");
  outcome.me = (await (await fetch("/api/me")).json()).user;
  outcome.path = await (await fetch("/paths/[id] ü'(1)?a[]=[|]")).json();
  const note = await fetch("/api/notes", { method: "POST", body: new URLSearchParams({ text: "Grüße" }) });
  outcome.note = { status: note.status, ...(await note.json()) };
  outcome.upload = await (await fetch("/upload", { method: "POST", body: new Blob([new Uint8Array(3000000)]) })).json();
  const events = new EventSource("/events");
  outcome.events = [];
  const ticks = new Promise((done) => {
    events.onmessage = (event) => outcome.events.push(event.data) === 3 && done();
  });
  outcome.socket = await new Promise((done, failed) => {
    const ws = new WebSocket("wss://" + location.host + "/socket");
    const got = [];
    ws.onopen = () => ws.send("Grüße");
    ws.onmessage = ({ data }) => { got.push(data); if (got.length === 2) { ws.close(4000); done(got); } };
    ws.onclose = ({ code }) => failed(new Error("closed with " + code));
  });
  await ticks;
  events.close();
} catch (error) {
  outcome.error = String(error);
}
await fetch("/outcome", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(outcome) });
</script>`;
}

const server = createServer(app);
const sockets = new WebSocketServer({ server, path: "/socket" });
sockets.on("connection", (ws, request) => {
  ws.send(JSON.stringify({ user: request.headers["x-user-id"] }));
  ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
