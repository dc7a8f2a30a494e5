// The WebSocket of `ws` for libraries that expect that of a browser: it trusts an authority, and hands a token in.
import { readFileSync } from "node:fs";

import { WebSocket } from "ws";

export function socketWith(caFile, token) {
  const options = { ca: readFileSync(caFile), headers: { authorization: `Bearer ${token}` } };
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, options);
    }
  };
}
