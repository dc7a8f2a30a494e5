// A server of JSON-RPC with rpc-websockets: json_rpc_server.mjs PORT. It prints the names of the methods that are called.
import { Server } from "rpc-websockets";

const server = new Server({ host: "127.0.0.1", port: Number(process.argv[2]) });
const PATH = "/ws";
const called = (method, result) => (params) => {
  console.log(JSON.stringify(method));
  return result(params);
};
server.register("say", called("say", ({ room, text }) => `${room}: ${text}`), PATH);
server.register("admin.stop", called("admin.stop", () => "stopped"), PATH);
server.event("said", PATH);
server.register("tell", called("tell", ({ text }) => server.emit("said", text)), PATH);
server.on("listening", () => console.log(`listening ${server.wss.address().port}`));
