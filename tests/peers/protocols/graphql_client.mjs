// A GraphQL client on a WebSocket, with the client library of each subprotocol.
//
//     node graphql_client.mjs URL CA_FILE TOKEN [--legacy]
//
// --legacy: the client of subscriptions-transport-ws, otherwise that of graphql-ws. Prints one JSON object an operation,
// with its name, and the results or the error that the library gives to its caller.
import { createClient } from "graphql-ws";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { WebSocket } from "ws";

const [url, caFile, token, ...options] = process.argv.slice(2);
const ca = readFileSync(caFile);

class Socket extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { ca, headers: { Authorization: `Bearer ${token}` } });
  }
}

// Runs one operation. Returns its results, or the error of its callback.
let run;
let close;
if (options.includes("--legacy")) {
  const { SubscriptionClient } = createRequire(import.meta.url)("subscriptions-transport-ws");
  const client = new SubscriptionClient(url, { connectionParams: { hello: 1 } }, Socket);
  close = () => client.close();
  run = (payload, sink) => client.request(payload).subscribe(sink);
} else {
  const client = createClient({
    url,
    webSocketImpl: Socket,
    connectionParams: { hello: 1 },
    retryAttempts: 0,
    lazy: false,
    onNonLazyError: (error) => console.log(JSON.stringify({ fatal: String(error) })),
  });
  close = () => client.dispose();
  run = (payload, sink) => client.subscribe(payload, sink);
}

function outcome(payload) {
  return new Promise((resolve) => {
    const results = [];
    run(payload, {
      next: (result) => results.push(result.data ?? result),
      // graphql-ws gives the list of errors, subscriptions-transport-ws the first one.
      error: (error) => {
        const first = Array.isArray(error) ? error[0] : error;
        resolve({ results, message: first.message, code: first.extensions?.code, id: first.extensions?.request_id });
      },
      complete: () => resolve({ results }),
    });
  });
}

const hash = (text) => createHash("sha256").update(text).digest("hex");
const persisted = (query, of) => ({ query, extensions: { persistedQuery: { version: 1, sha256Hash: hash(of) } } });
const get = 'query Get($id: ID!) { room(id: $id) { id } }';
const variables = { id: "red" };
const steps = {
  query: { query: get, variables },
  mutation: { query: "mutation Say($room: ID!) { say(room: $room) }", variables: { room: "red" } },
  subscription: { query: "subscription OnSay($room: ID!) { said(room: $room) }", variables: { room: "red" } },
  selected: { query: `${get} query Other { __typename }`, operationName: "Get", variables },
  own_hash: { ...persisted(get, get), variables },
  unlisted: { query: 'mutation Say { other(id: "red") }' },
  renamed: { query: 'mutation Say { removeRoom(id: "red") }' },
  elsewhere: { query: 'mutation Say { say(room: "blue") }', variables: { room: "red" } },
  deep: { query: `{ room(id: 1) { ${"next { ".repeat(10)} id ${"} ".repeat(10)} } }` },
  aliases: { query: `{ room(id: 1) { ${Array.from({ length: 500 }, (_, index) => `a${index}: id`).join(" ")} } }` },
  introspection: { query: "{ __schema { types { name } } }" },
  other_hash: { ...persisted(get, "{ other }"), variables },
  faulty: { query: "{ room(" },
  again: { query: get, variables },
};
for (const [step, payload] of Object.entries(steps)) {
  console.log(JSON.stringify({ step, ...(await outcome(payload)) }));
}
await close();
