// An application as people write it: echoes every message.
//
//     node echo.mjs PORT [--subprotocols]
//
// PORT 0 is a free one; "listening PORT" is printed. A few texts are commands instead, see `obey`.
// When a connection ends, its close code and reason are printed as one JSON object a line.
import { WebSocketServer } from "ws";

const [port, ...options] = process.argv.slice(2);
const known = options.includes("--subprotocols") ? ["chat.v1", "chat.v2"] : [];

// Does what `text` asks for. Returns whether it was a command.
function obey(ws, text) {
  const [command, ...rest] = text.split(" ");
  switch (command) {
    case "close":
      ws.close(Number(rest[0]), rest[1]);
      return true;
    case "fragment":
      for (let index = 0; index < Number(rest[0]); index++) {
        ws.send(`part${index} `, { fin: index === Number(rest[0]) - 1 });
      }
      return true;
    case "big":
      ws.send(Buffer.alloc(Number(rest[0])));
      return true;
    case "ping-me":
      ws.once("pong", (payload) => ws.send(`ponged ${payload}`));
      ws.ping(rest[0]);
      return true;
    case "die":
      process.exit(1);
    case "extensions":
      ws.send(JSON.stringify(ws.extensions === "" ? [] : ws.extensions.split(",")));
      return true;
    default:
      return false;
  }
}

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  perMessageDeflate: true,
  maxPayload: 4 * 2 ** 20,
  handleProtocols: (offered) => [...offered].find((name) => known.includes(name)) ?? false,
});
server.on("listening", () => console.log(`listening ${server.address().port}`));
server.on("connection", (ws) => {
  ws.on("error", () => {});
  ws.on("message", (data, isBinary) => {
    if (isBinary || !obey(ws, data.toString())) {
      ws.send(data, { binary: isBinary });
    }
  });
  ws.on("close", (code, reason) => console.log(JSON.stringify({ code, reason: `${reason}` })));
});
