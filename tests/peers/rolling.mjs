// The client of docs/rolling-updates.md.
//
//     node rolling.mjs URL CA_FILE
//
// Prints {"waited": SECONDS}, the time from the end of the first connection to the beginning of the second.
import { readFileSync } from "node:fs";
import { WebSocket } from "ws";

const [url, caFile] = process.argv.slice(2);
const page = readFileSync(new URL("../../docs/rolling-updates.md", import.meta.url), "utf8");
const [, snippet] = /```js\n(.*?)```/s.exec(page);
let closed;

class Client extends WebSocket {
  constructor(target) {
    if (closed !== undefined) {
      console.log(JSON.stringify({ waited: (Date.now() - closed) / 1000 }));
      process.exit(0);
    }
    super(target, { ca: readFileSync(caFile) });
    this.once("close", () => { closed = Date.now(); });
  }
}

new Function("WebSocket", `${snippet}; return stayConnected;`)(Client)(url, () => {});
