// Tokens made by jose, one JSON object a line: by every algorithm that it has, and what verifies
// them.
//
//     node mint_tokens.mjs
import { SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair } from "jose";

const SECRET = "a secret of the tests that is long enough for HS512: 64 bytes!!!";
const ALGORITHMS = [
  "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
];

const claims = (jwt) =>
  jwt.setSubject("ann").setIssuer("https://a.example").setAudience(["chat"]).setExpirationTime("1h");
const signed = (alg, key) => claims(new SignJWT()).setProtectedHeader({ alg, kid: "k" }).sign(key);
const tell = (line) => console.log(JSON.stringify({ maker: "jose", ...line }));

for (const alg of ["HS256", "HS384", "HS512"]) {
  tell({ alg, secret: SECRET, token: await signed(alg, new TextEncoder().encode(SECRET)) });
}
for (const alg of ALGORITHMS) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const pem = await exportSPKI(publicKey);
  tell({ alg, pem, jwk: await exportJWK(publicKey), token: await signed(alg, privateKey) });
}
tell({ alg: "none", token: claims(new UnsecuredJWT()).encode() });
