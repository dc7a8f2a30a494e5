// An application of Socket.IO 4 behind rules for messages. Each packet that reaches it is printed as one JSON object a
// line.
//
//     node socketio.mjs PORT
import { createServer } from "node:http";

import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { path: "/ws/socket.io", pingInterval: 500 });
const says = (line) => console.log(JSON.stringify(line));
io.on("connection", (socket) => {
  socket.onAny((...packet) => says({ packet: packet.filter((part) => typeof part !== "function") }));
  socket.on("say", (message, done) => done?.({ said: message }));
  socket.on("upload", (...parts) => {
    const done = parts.pop();
    // Attachments on the way back, too.
    done(parts.map((part) => part.length), ...parts);
  });
  socket.on("leave", () => socket.disconnect(true));
});
io.of("/admin").on("connection", (socket) => {
  says({ joined: "/admin" });
  socket.on("delete", (id, done) => {
    says({ deleted: id });
    done({ deleted: id });
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
