// What Node's parsers find in requests: as credentials.py, with `cookie`, URL and querystring.
//
//     node credentials.mjs FILE
import { readFileSync } from "node:fs";
import querystring from "node:querystring";
import { parse } from "cookie";

function* seen({ target, fields }) {
  const all = (wanted) =>
    fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  // node:http joins lines of Cookie so, and keeps the first Authorization.
  yield ["cookie", parse(all("cookie").join("; ")).session];
  for (const line of all("cookie")) yield ["cookie of a line", parse(line).session];
  const query = target.includes("?") ? target.slice(target.indexOf("?") + 1) : "";
  yield ["URL", new URL(target, "http://localhost").searchParams.get("access_token")];
  yield ["querystring", querystring.parse(query).access_token];
  yield ["querystring ;", querystring.parse(query, ";").access_token];
  const [scheme, token] = (all("authorization")[0] ?? "").split(/\s+/);
  if (scheme.toLowerCase() === "bearer") yield ["authorization", token];
}

for (const request of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  console.log(JSON.stringify([...seen(request)].filter(([, value]) => value)));
}
