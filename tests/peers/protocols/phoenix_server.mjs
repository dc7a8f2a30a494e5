// A server of Phoenix Channels for tests: phoenix_server.mjs PORT. It is none of the Phoenix project, whose server runs on
// Erlang; it follows the messages of its serializers, of version 1 in text, and of version 2 in text and binary.
//
// It prints each message that is no heartbeat as one JSON object.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("listening", () => console.log(`listening ${server.address().port}`));

const versions = {
  "1.0.0": {
    read(data) {
      const { topic, event, payload, ref, join_ref } = JSON.parse(data.toString());
      return { topic, event, payload, ref, join_ref };
    },
    write: ({ topic, event, payload, ref }) => JSON.stringify({ topic, event, payload, ref }),
  },
  "2.0.0": {
    read(data, isBinary) {
      if (isBinary) return readBinary(data);
      const [join_ref, ref, topic, event, payload] = JSON.parse(data.toString());
      return { topic, event, payload, ref, join_ref };
    },
    write({ topic, event, payload, ref, join_ref }) {
      const binary = Buffer.isBuffer(payload.response);
      return binary
        ? writeBinary(1, [join_ref, ref, topic, payload.status], payload.response)
        : JSON.stringify([join_ref, ref, topic, event, payload]);
    },
  },
};

function readBinary(data) {
  if (data[0] !== 0) throw new Error(`a binary message of the kind ${data[0]}`);
  let at = 5;
  const [join_ref, ref, topic, event] = [...data.subarray(1, 5)].map((length) => {
    at += length;
    return data.toString("utf8", at - length, at);
  });
  return { topic, event, payload: data.subarray(at), ref, join_ref };
}

function writeBinary(kind, texts, payload) {
  const fields = texts.map((text) => Buffer.from(text));
  return Buffer.concat([Buffer.from([kind, ...fields.map((field) => field.length)]), ...fields, payload]);
}

// The sockets that joined each topic, each with the reference of its join.
const topics = new Map();

server.on("connection", (ws, request) => {
  const version = versions[new URL(request.url, "ws://localhost").searchParams.get("vsn")];
  if (!version) return ws.close();
  const send = (socket, message) => socket.send(version.write(message));
  ws.on("error", () => {});
  ws.on("close", () => topics.forEach((joined) => joined.delete(ws)));
  ws.on("message", (data, isBinary) => {
    const message = version.read(data, isBinary);
    const { topic, event, payload, ref, join_ref } = message;
    const reply = (status, response = {}) =>
      send(ws, { topic, event: "phx_reply", payload: { status, response }, ref, join_ref });
    if (topic === "phoenix" && event === "heartbeat") return reply("ok");
    console.log(JSON.stringify({ event, topic }));
    const joined = topics.get(topic) ?? new Map();
    topics.set(topic, joined);
    if (event === "phx_join") {
      joined.set(ws, join_ref);
      return reply("ok");
    }
    if (!joined.has(ws)) return reply("error", { reason: "unmatched topic" });
    switch (event) {
      case "phx_leave":
        joined.delete(ws);
        return reply("ok");
      case "say":
        for (const socket of joined.keys()) send(socket, { topic, event: "said", payload, ref: null, join_ref: null });
        return reply("ok");
      default:
        return reply("ok", payload);
    }
  });
});
