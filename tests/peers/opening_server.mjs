// Servers of protocols whose first message may hold a token, on a port of this machine.
//
//     node opening_server.mjs PORT LIBRARY
//
// Prints "listening PORT", then for each opening that the server reads one JSON object: what it holds.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { Server } from "socket.io";
import { SubscriptionServer } from "subscriptions-transport-ws";
import { execute, subscribe } from "graphql";
import { WebSocketServer } from "ws";

const [port, library] = process.argv.slice(2);
const server = createServer();
const say = (what) => console.log(JSON.stringify(what));

const schema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: "Query",
    fields: { hello: { type: GraphQLString, resolve: () => "world" } },
  }),
});

const libraries = {
  "graphql-ws"() {
    const sockets = new WebSocketServer({ server });
    useServer({ schema, onConnect: ({ connectionParams }) => say(connectionParams ?? {}) }, sockets);
  },
  "subscriptions-transport-ws"() {
    const onConnect = (params) => say(params);
    SubscriptionServer.create({ schema, execute, subscribe, onConnect }, { server });
  },
  "socket.io"() {
    const io = new Server(server);
    io.on("connection", (socket) => {
      say(socket.handshake.auth);
      socket.on("hello", (answer) => answer("world"));
    });
  },
  stomp() {
    const StompServer = createRequire(import.meta.url)("stomp-broker-js");
    const broker = new StompServer({ server, path: "/ws" });
    broker.on("connected", (_, headers) => say(headers));
    broker.on("subscribe", ({ topic }) => broker.send(topic, {}, "world"));
  },
};

libraries[library]();
server.listen(Number(port), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
