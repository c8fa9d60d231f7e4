"""An issuer of callers' tokens with keys of its own: publishes them, signs with them, and changes them."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

URL = "https://issuer.test/.well-known/jwks.json"
PRIVATE: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "rsa-next": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ec-384": ec.generate_private_key(ec.SECP384R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHM = {"rsa": "RS256", "rsa-next": "RS256", "ec": "ES256", "ec-384": "ES384", "ed": "EdDSA"}
TO_JWK = {"r": RSAAlgorithm.to_jwk, "e": ECAlgorithm.to_jwk}


def published(name: str, **changed: Any) -> dict[str, Any]:
    """The public key of that name as its issuer publishes it; a change to None leaves a member out."""
    to_jwk = OKPAlgorithm.to_jwk if name == "ed" else TO_JWK[name[0]]
    jwk = to_jwk(PRIVATE[name].public_key(), as_dict=True) | {"kid": name, "use": "sig"} | changed
    return {member: value for member, value in jwk.items() if value is not None}


def key_set(*names: str) -> dict[str, Any]:
    return {"keys": [published(name) for name in names]}


def claims_of(user_id: str, **changed: Any) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "scope": "claims:read",
        "iss": "https://issuer.test",
        "aud": "opside",
        "exp": int(time.time()) + 600,
    } | changed


def signed(name: str, claims: dict[str, Any], *, algorithm: str | None = None, **header: Any) -> str:
    """A token signed with the key of that name."""
    return jwt.encode(claims, PRIVATE[name], algorithm or ALGORITHM[name], headers={"kid": name, **header})


def by_hand(header: str, payload: str, secret: bytes = b"") -> str:
    """A token of exactly these texts, with an HMAC by any secret: what no library would make."""
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in (header, payload)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def confused(name: str, claims: dict[str, Any]) -> str:
    """A token whose HMAC secret is the public key that everybody can read."""
    pem = PRIVATE[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = json.dumps({"alg": "HS256", "typ": "JWT", "kid": name})
    return by_hand(header, json.dumps(claims), pem)
