"""A base transport for a service that lives in this process: ASGI instead of a socket."""

import httpx


class EmbeddedTransport(httpx.ASGITransport):
    """Calls an ASGI app as if it were across the network, refused and broken connections included."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except ConnectionRefusedError as exc:
            raise httpx.ConnectError(str(exc), request=request) from exc
        except ConnectionError as exc:  # it broke later: the app has had the request
            raise httpx.ReadError(str(exc), request=request) from exc
