"""`python bystander.py PORT TOKEN`: a client that behaves well, and writes down how long it waits.

Every 50 ms it asks what a screen asks. Each answer is a line on standard output: when it was asked for, the
wait, what the machine took of that from the two processes, and whether the answer was whole.
"""

import asyncio
import json
import sys
import time

import httpx
from stolen import Stolen

from bff.operations import stored_operations

PACE_S = 0.05
PATIENCE_S = 20


async def watch(port: int, token: str) -> None:
    stolen = Stolen()
    counting = asyncio.create_task(stolen.watch())
    body = {"query": stored_operations()["RecoveryMetrics"]}
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http:
        while not counting.done():
            own_s, began_s, asked_at_s = stolen.total_s, time.perf_counter(), time.monotonic()
            said, told_ms = "", None
            try:
                answer = await http.post("/graphql", json=body, headers=headers)
                told_ms = float(answer.headers["x-stolen-ms"])
                if answer.status_code != 200 or "errors" in answer.json():
                    said = f"{answer.status_code} {answer.text[:300]}"
            except httpx.HTTPError as exc:
                said = repr(exc)
            wait_s = time.perf_counter() - began_s
            await asyncio.sleep(PACE_S)
            line = {
                "asked_at_s": asked_at_s,
                "wait_s": wait_s,
                "own_stolen_s": stolen.total_s - own_s,
                "told_stolen_ms": told_ms,
                "said": said,
            }
            print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(watch(int(sys.argv[1]), sys.argv[2]))
