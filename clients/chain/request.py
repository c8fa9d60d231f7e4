"""The request that travels the chain: httpx's, with an address that stays text until somebody parses it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx


class Asked(httpx.Request):
    """One request to a service.

    `url` is there for whoever reads it, as tests' routes do; the network and the memory are served by the
    text. httpx's own constructor would parse it for every call, which costs as much as half of sending it.
    """

    def __init__(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        extensions: dict[str, Any],
    ) -> None:
        """
        Args:
            method: in capitals.
            address: absolute, its path and its query encoded.
            headers: all of them, `host` and the length of the content included.
        """
        self.method = method
        self.address = address
        self.headers = httpx.Headers(headers)
        self.extensions = extensions
        self.stream = httpx.ByteStream(content)
        self.read()

    @cached_property
    def url(self) -> httpx.URL:  # type: ignore[override]
        """The address, parsed by httpx."""
        return httpx.URL(self.address)


def address_of(request: httpx.Request) -> str:
    """Where a request goes, as text."""
    return request.address if isinstance(request, Asked) else str(request.url)
