"""What no answer may say, whatever was asked: the one place where that is written."""

import re

DELIBERATE = {"SERVER_BUSY", "ISSUER_UNAVAILABLE"}  # the 503 that we mean; both say when to come again
LEAKS = {
    "Python": re.compile(
        r"Traceback|\bFile \"|\.py\b|NoneType|<class|object at 0x"
        r"|(?<!\"__typename\":\")\b\w+(?:Error|Exception)\b"
        r"|__(?!typename|schema|type\b)\w+__|unhashable|positional argument|has no attribute"
        r"|coroutine|asyncio|pydantic|strawberry|uvicorn|starlette|httpx|orjson|graphql-core|site-packages"
    ),
    "SQL": re.compile(r"\bSELECT\b|INSERT INTO|sqlite|sqlalchemy|asyncpg|UNIQUE constraint", re.IGNORECASE),
    "paths": re.compile(r"(?<![\w.])/(?:usr|home|tmp|work|app|root|etc|var|opt|proc)/"),
    "upstreams": re.compile(
        r"https?://(?!(?!evil)[\w.-]+\.example/)|localhost|127\.0\.0\.1|\bport \d|/api/v1/|internal-token"
        r"|Access token required|Invalid or expired token|Too many requests from this IP|Endpoint not found"
        r"|Validation failed|Model prediction failed|value_error|field required|Cannot (?:GET|POST|PUT)"
    ),
}
BROKEN = re.compile(r"INTERNAL_SERVER_ERROR|CONTRACT_BROKEN")


# The address of a consent page names the way back to the service that asks: the browser goes there.
WAY_BACK = re.compile(r"redirect_uri=[^&\"]*")


def leaks_in(text: str) -> list[str]:
    """What an answer gives away, with a few letters around it."""
    text = WAY_BACK.sub("", text)
    return [
        f"{kind}: …{text[max(0, found.start() - 40) : found.end() + 40]}…"
        for kind, pattern in LEAKS.items()
        for found in [pattern.search(text)]
        if found
    ]


def complaints(status: int, text: str) -> list[str]:
    """What is wrong with an answer to something hostile: its head and its body."""
    wrong = leaks_in(text)
    if status >= 500 and not (status == 503 and any(code in text for code in DELIBERATE)):
        wrong.append(f"status {status}: {text[:300]}")
    if found := BROKEN.search(text):
        wrong.append(f"broke: …{text[max(0, found.start() - 200) : found.end() + 100]}…")
    return wrong
