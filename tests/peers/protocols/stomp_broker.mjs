// A broker of STOMP with stomp-broker-js: stomp_broker.mjs PORT. It prints each SEND and SUBSCRIBE with its destination, and
// its clients' heart-beats.
import { createServer } from "node:http";

import StompServer from "stomp-broker-js";

const server = createServer();
const broker = new StompServer({
  server,
  heartbeat: [100, 100],
  debug: (what) => what === "PONG" && console.log(JSON.stringify({ beat: true })),
});
// Version 1.3.0 forgets the receipts of SEND.
broker.addMiddleware("send", (socket, args, next) => {
  const { receipt } = args.frame.headers;
  const sent = next();
  if (receipt) socket.send(`RECEIPT\nreceipt-id:${receipt}\n\n\0`);
  return sent;
});
broker.on("subscribe", ({ topic }) => console.log(JSON.stringify({ SUBSCRIBE: topic })));
broker.on("send", ({ dest }) => console.log(JSON.stringify({ SEND: dest })));
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
