"""The keys of the audit log: what is sealed with them can be read, and proven to be ours, by nobody else.

From each secret two keys are made: one hides what is sensitive (AES-256-GCM), one proves who wrote a row
(HMAC-SHA-256). Whatever is made with a key begins with the key's id, so that several secrets may be known
while one replaces another.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12  # random; NIST SP 800-38D allows 2^32 of them with one key


class Unreadable(Exception):
    """A sealed value was made with a key that is not known, or was changed."""


class _Key(NamedTuple):
    hides: AESGCM
    proves: bytes


class AuditKeys:
    """The secrets of the audit log, the newest first."""

    def __init__(self, secrets_: Sequence[str]) -> None:
        """
        Args:
            secrets_: one or two; the first makes what is new, each reads what it made.
        """
        self._keys = {_derived(secret, "id", 4).hex(): _key(secret) for secret in secrets_}
        self.newest = next(iter(self._keys))

    def hidden(self, text: str, about: str) -> str:
        """A text that only these keys can read again, in its place only.

        Args:
            about: the place, which is bound to it: a value that is moved elsewhere cannot be read.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._keys[self.newest].hides.encrypt(nonce, text.encode(), about.encode())
        return f"{self.newest}:{base64.b64encode(nonce + sealed).decode()}"

    def shown(self, value: str, about: str) -> str:
        """The text in what `hidden` made.

        Raises:
            Unreadable: its key is not known, or it was changed or moved.
        """
        key_id, _, sealed = value.partition(":")
        key = self._keys.get(key_id)
        if key is None:
            raise Unreadable(f"key {key_id!r} is not among the keys in use")
        try:
            raw = base64.b64decode(sealed, validate=True)
            return key.hides.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], about.encode()).decode()
        except (binascii.Error, ValueError, InvalidTag) as exc:
            raise Unreadable("it was changed, or belongs to another row") from exc

    def seal(self, about: str) -> str:
        """Proof that whoever wrote this knows the newest key."""
        return f"{self.newest}:{_proof(self._keys[self.newest], about)}"

    def check(self, seal: str, about: str) -> None:
        """Check what `seal` made.

        Raises:
            Unreadable: its key is not known, or it is not the seal of this.
        """
        key_id, _, proof = seal.partition(":")
        key = self._keys.get(key_id)
        if key is None:
            raise Unreadable(f"key {key_id!r} is not among the keys in use")
        if not hmac.compare_digest(proof.encode(), _proof(key, about).encode()):
            raise Unreadable("it was not made with our key")


def _proof(key: _Key, about: str) -> str:
    return hmac.new(key.proves, about.encode(), hashlib.sha256).hexdigest()


def _key(secret: str) -> _Key:
    return _Key(AESGCM(_derived(secret, "hides", 32)), _derived(secret, "proves", 32))


def _derived(secret: str, use: str, length: int) -> bytes:
    info = f"opside bff audit {use}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret.encode())
