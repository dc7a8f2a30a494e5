// A GraphQL application on WebSockets, with the server library of each subprotocol.
//
//     node graphql_app.mjs PORT [--legacy]
//
// PORT 0 is a free one; "listening PORT" is printed. --legacy: the server of subscriptions-transport-ws, otherwise that of
// graphql-ws. Each field of an operation that is executed is printed as one JSON object a line.
import { buildSchema, execute, subscribe } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { createRequire } from "node:module";
import { WebSocketServer } from "ws";

const [port, ...options] = process.argv.slice(2);
const legacy = options.includes("--legacy");

const schema = buildSchema(`
  type Room { id: ID!, next: Room }
  type Query { room(id: ID!): Room }
  type Mutation { say(room: ID!): ID, removeRoom(id: ID!): ID }
  type Subscription { said(room: ID!): Int }
`);

const ran = (field, parameters) => console.log(JSON.stringify({ field, ...parameters }));
const room = (id) => ({ id, next: () => room(id) });
const rootValue = {
  room({ id }) {
    ran("room", { id });
    return room(id);
  },
  say(parameters) {
    ran("say", parameters);
    return parameters.room;
  },
  removeRoom(parameters) {
    ran("removeRoom", parameters);
    return parameters.id;
  },
  async *said(parameters) {
    ran("said", parameters);
    for (const said of [1, 2]) yield { said };
  },
};

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  handleProtocols: (offered) => (offered.has("graphql-ws") ? "graphql-ws" : false),
});
server.on("listening", () => console.log(`listening ${server.address().port}`));
if (legacy) {
  const { SubscriptionServer } = createRequire(import.meta.url)("subscriptions-transport-ws");
  SubscriptionServer.create({ schema, rootValue, execute, subscribe, keepAlive: 60_000 }, server);
} else {
  useServer({ schema, roots: { query: rootValue, mutation: rootValue, subscription: rootValue } }, server);
}
