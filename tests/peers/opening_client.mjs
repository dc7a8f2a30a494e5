// Clients that hand in a token in the message that opens their protocol.
//
//     node opening_client.mjs LIBRARY URL CA_FILE TOKEN
//
// Prints one JSON object: what came of it.
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { Client } from "@stomp/stompjs";
import { createClient } from "graphql-ws";
import mqtt from "mqtt";
import { io } from "socket.io-client";
import { SubscriptionClient } from "subscriptions-transport-ws";
import { WebSocket } from "ws";

const [library, url, caFile, token] = process.argv.slice(2);
const ca = readFileSync(caFile);

class Socket extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { ca });
  }
}

const libraries = {
  async "graphql-ws"() {
    const connectionParams = { token, room: "red" };
    const client = createClient({ url, webSocketImpl: Socket, connectionParams, retryAttempts: 0 });
    const query = () =>
      new Promise((resolve, reject) => {
        let data;
        client.subscribe(
          { query: "{ hello }" },
          { next: (result) => (data = result.data), error: reject, complete: () => resolve(data) },
        );
      });
    const data = await query();
    await client.dispose();
    return data;
  },
  async "subscriptions-transport-ws"() {
    const connectionParams = { token, room: "red" };
    const client = new SubscriptionClient(url, { connectionParams }, Socket);
    const data = await new Promise((resolve, reject) => {
      client.request({ query: "{ hello }" }).subscribe({ next: (it) => resolve(it.data), error: reject });
      client.onError(reject);
      client.onDisconnected(() => reject(new Error("closed")));
    });
    client.close();
    return data;
  },
  async "socket.io"() {
    const options = { transports: ["websocket"], auth: { token, room: "red" }, ca, reconnection: false };
    const { origin } = new URL(url.replace("wss", "https"));
    const socket = io(origin, options);
    await Promise.race([
      once(socket, "connect"),
      once(socket, "disconnect").then(([reason]) => Promise.reject(new Error(reason))),
      once(socket, "connect_error").then(([error]) => Promise.reject(error)),
    ]);
    const hello = await socket.timeout(5000).emitWithAck("hello");
    socket.close();
    return { hello };
  },
  async stomp() {
    const client = new Client({
      webSocketFactory: () => new Socket(url, ["v12.stomp"]),
      connectHeaders: { login: "ada", passcode: token },
      reconnectDelay: 0,
    });
    const hello = await new Promise((resolve, reject) => {
      client.onConnect = () => {
        client.subscribe("/topic/hello", (message) => resolve(message.body));
      };
      client.onStompError = (frame) => reject(new Error(frame.headers.message));
      client.onWebSocketClose = (event) => reject(new Error(`${event.code} ${event.reason}`));
      client.activate();
    });
    client.onWebSocketClose = () => {};
    await client.deactivate();
    return { hello };
  },
  async mqtt4() {
    return await overMqtt(4);
  },
  async mqtt5() {
    return await overMqtt(5);
  },
};

async function overMqtt(protocolVersion) {
  const options = { protocolVersion, username: "ada", password: token, ca, reconnectPeriod: 0 };
  const client = await mqtt.connectAsync(url, { ...options, wsOptions: { ca } }, false);
  await client.subscribeAsync("hello");
  const message = once(client, "message");
  await client.publishAsync("hello", "world");
  const [, hello] = await message;
  await client.endAsync();
  return { hello: hello.toString() };
}

// A client that waits for ever fails here.
setTimeout(() => process.exit(1), 20_000).unref();
try {
  console.log(JSON.stringify(await libraries[library]()));
  process.exit(0);
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message ?? error.reason ?? error) }));
  process.exit(0);
}
