"""What clients' connections and streams may take."""

from ipaddress import ip_network

from pydantic import BaseModel, ConfigDict, Field, field_validator


class SocketSettings(BaseModel):
    """What a connection may take; see `bff/sockets.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head_wait_s: float = Field(
        default=10.0, gt=0, le=120, description="For the head of a request, in seconds."
    )
    head_bytes: int = Field(
        default=32_768, ge=4096, le=1_048_576, description="Of the head at most, in bytes."
    )
    head_lines: int = Field(default=64, ge=16, le=1000, description="Header lines at most.")
    body_wait_s: float = Field(default=10.0, gt=0, le=120, description="For the whole body, in seconds.")
    unread_wait_s: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="In which a client fetches what was written to it, or 16 KB of it at least, in seconds.",
    )
    keep_alive_s: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="How long an idle connection is kept, in seconds; the proxy in front keeps it shorter.",
    )
    connections: int = Field(default=2000, ge=8, le=100_000, description="Open connections at most.")
    forwarded_allow_ips: str | None = Field(
        default=None,
        description="Addresses and networks of proxies, with commas between, whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed; nobody's when absent.",
    )

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _proxies_are_addresses(cls, given: str | None) -> str | None:
        # uvicorn takes any other word for a name, and no client ever has one.
        proxies = [proxy.strip() for proxy in (given or "").split(",") if proxy.strip()]
        try:
            for proxy in proxies if proxies != ["*"] else ():
                ip_network(proxy)
        except ValueError:
            raise ValueError("must be addresses and networks with commas between, as 10.0.0.0/8") from None
        return ",".join(proxies) or None


class StreamSettings(BaseModel):
    """How subscriptions are served; see docs/subscriptions.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    init_wait_s: float = Field(
        default=5.0, gt=0, le=60, description="For `connection_init` of a WebSocket, in seconds."
    )
    operations: int = Field(default=100, ge=1, le=1000, description="On one WebSocket at once, at most.")
    heartbeat_s: float = Field(
        default=15.0,
        gt=0,
        le=60,
        description="From one sign of life on a silent stream to the next, in seconds.",
    )
