// An application of Socket.IO 4 with its defaults: a page, the client's script, rooms, acknowledgements.
import { createServer } from "node:http";

import express from "express";
import { Server } from "socket.io";

const app = express();
app.get("/", (request, response) => response.send("<!doctype html><script src=/socket.io/socket.io.js></script>"));
const server = createServer(app);
const io = new Server(server);
io.on("connection", (socket) => {
  socket.emit("hello", { transport: socket.conn.transport.name, address: socket.handshake.headers["x-forwarded-for"] });
  socket.on("join", (room, done) => { socket.join(room); done(); });
  socket.on("say", (room, text) => io.to(room).emit("said", text));
  socket.on("echo", (value, done) => done(value));
  socket.on("transport", (done) => done(socket.conn.transport.name));
  socket.on("where", (done) => done({ port: process.env.PORT, user: socket.handshake.headers["x-user-id"] }));
  socket.on("leave", () => socket.disconnect());
});
io.of("/admin").use((socket, next) => next(socket.handshake.auth.key === "k" ? undefined : new Error("no key")));
server.listen(Number(process.env.PORT), "127.0.0.1");
