"""`python hammer.py PORT TOKEN AT_ONCE`: asks for lists of claims on so many connections, without a pause."""

import asyncio
import json
import sys

from bff.operations import stored_operations


async def ask(port: int, request: bytes, told: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    while True:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        told[head.startswith(b"http/1.1 200")] += 1


async def hammer(port: int, token: str, at_once: int) -> None:
    body = json.dumps({"query": stored_operations()["RecoveriesList"], "variables": {"first": 100}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: bff\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    told = [0, 0]
    asking = [asyncio.create_task(ask(port, head.encode() + body, told)) for _ in range(at_once)]
    while not any(task.done() for task in asking):
        await asyncio.sleep(0.5)
        print(*told, flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(hammer(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
