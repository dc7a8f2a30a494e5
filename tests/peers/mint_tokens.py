"""Tokens made by PyJWT, one JSON object a line: by every algorithm that it has, and what verifies them.

    mint_tokens.py
"""

import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, rsa

SECRET = "a secret of the tests that is long enough for HS512: 64 bytes!!!"
CLAIMS = {"sub": "ann", "iss": "https://a.example", "aud": ["chat"], "exp": int(time.time()) + 3600}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {
    "HS": SECRET,
    "RS": RSA,
    "PS": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "ES521": ec.generate_private_key(ec.SECP521R1()),
    "ES256K": ec.generate_private_key(ec.SECP256K1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def tell(alg, key, token):
    line = {"maker": "PyJWT", "alg": alg, "token": token}
    if isinstance(key, str):
        line["secret"] = key
    elif key is not None:
        public = key.public_key()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        line["pem"] = pem.decode()
        line["jwk"] = jwt.get_algorithm_by_name(alg).to_jwk(public, as_dict=True)
    print(json.dumps(line))


for alg in sorted(jwt.algorithms.get_default_algorithms()):
    key = None if alg == "none" else KEYS.get(alg) or KEYS[alg[:2]]
    tell(alg, key, jwt.encode(CLAIMS, key, algorithm=alg, headers={"kid": "k"}))
key = ed448.Ed448PrivateKey.generate()
tell("EdDSA", key, jwt.encode(CLAIMS, key, algorithm="EdDSA", headers={"kid": "k"}))
