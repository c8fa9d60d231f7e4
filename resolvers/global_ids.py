"""Relay ids: base64 of `Type:key`, opaque to clients, checked before a key goes anywhere.

A key enters a path, and services are careless with those: the refund engine answers 500 to what is no UUID,
stripe answers with another person's money. So each type's keys have a form.
"""

import base64
import binascii
import re

import strawberry

from resolvers.errors import BadUserInput

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_SYNC_ID = re.compile(r"sync-[A-Za-z0-9-]{1,80}", re.ASCII)
_INTEGER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_SLUG = re.compile(r"[a-z][a-z-]{0,30}", re.ASCII)

KEY_FORMS = {
    "Claim": _UUID,
    "Detection": _UUID,
    "DetectionRun": _SYNC_ID,
    "Document": _UUID,
    "Integration": _SLUG,
    "Payment": _INTEGER,
    "ServiceHealth": _SLUG,
    "Sync": _SYNC_ID,
}


@strawberry.interface(description="An object that can be fetched again by its ID.")
class Node:
    id: strawberry.ID = strawberry.field(description="Globally unique and opaque: base64 of `Type:key`.")


def global_id(type_name: str, key: object) -> strawberry.ID:
    """The id of an object."""
    return strawberry.ID(binascii.b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode())


def type_and_key(value: str) -> tuple[str, str]:
    """Take an id apart.

    Raises:
        BadUserInput: it is no id of this graph.
    """
    try:
        type_name, _, key = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        type_name, key = "", ""
    form = KEY_FORMS.get(type_name)
    if form is None or not form.fullmatch(key):
        raise BadUserInput("This is no id of this API. Pass an `id` exactly as it was received.")
    return type_name, key


def key_of(value: str, expected: str) -> str:
    """The key in the id of an object of one type.

    Raises:
        BadUserInput: it is no id of this graph, or the id of another type.
    """
    type_name, key = type_and_key(value)
    if type_name != expected:
        raise BadUserInput(f"This is the id of a {type_name}, where the id of a {expected} is expected.")
    return key
