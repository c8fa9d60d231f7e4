"""Where a server's CPU time goes: it looks at its own stack each millisecond that it works.

A sample belongs to the innermost frame that a phase names, so what C code takes belongs to whoever called it;
but for the collection of garbage, which happens to whoever made the last object of many.
Unlike cProfile this costs every line of Python the same, and hardly anything.
"""

import gc
import json
import signal
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

EVERY_S = 0.001
REST = "event loop and the rest"

# A part of the path, a function or none, and the phase; the first that fits a frame.
PHASES: tuple[tuple[str, str, str], ...] = (
    ("benchmarks/sampling.py", "_collecting", "garbage collection"),
    ("bff/telemetry.py", "", "log"),
    ("structlog/", "", "log"),
    ("clients/chain/attempt.py", "_log", "log"),
    ("bff/metrics.py", "", "metrics"),
    ("prometheus_client/", "", "metrics"),
    ("opentelemetry/", "", "metrics"),
    ("clients/transport.py", "_read", "reading records (pydantic)"),
    ("clients/records.py", "", "reading records (pydantic)"),
    ("pydantic/", "", "reading records (pydantic)"),
    ("clients/tokens.py", "", "upstream calls: our chain"),
    ("clients/store/", "", "our database"),
    ("sqlalchemy/", "", "our database"),
    ("aiosqlite/", "", "our database"),
    ("clients/shelf.py", "", "upstream calls: kept answers"),
    ("clients/chain/memory.py", "", "upstream calls: kept answers"),
    ("httpx/", "", "upstream calls: httpx"),
    ("httpx_aiohttp/", "", "upstream calls: httpx"),
    ("aiohttp/", "", "upstream calls: aiohttp"),
    ("yarl/", "", "upstream calls: aiohttp"),
    ("multidict/", "", "upstream calls: aiohttp"),
    ("httpx_retries/", "", "upstream calls: our chain"),
    ("interlock/", "", "upstream calls: our chain"),
    ("clients/", "", "upstream calls: our chain"),
    ("bff/execution/", "", "execution: ours"),
    ("graphql/execution/", "", "execution: graphql-core"),
    ("graphql/type/", "", "execution: graphql-core"),
    ("graphql/pyutils/", "", "execution: graphql-core"),
    ("graphql/language/", "", "parse, validate, limits"),
    ("graphql/validation/", "", "parse, validate, limits"),
    ("graphql/utilities/", "", "parse, validate, limits"),
    ("bff/limits.py", "", "parse, validate, limits"),
    ("bff/explain.py", "", "parse, validate, limits"),
    ("bff/shape.py", "", "parse, validate, limits"),
    ("bff/comparisons.py", "", "parse, validate, limits"),
    ("bff/kept_documents.py", "", "parse, validate, limits"),
    ("bff/persisted.py", "", "parse, validate, limits"),
    ("bff/rates.py", "", "rates"),
    ("throttled/", "", "rates"),
    ("resolvers/loaders/", "", "loaders"),
    ("aiodataloader/", "", "loaders"),
    ("resolvers/", "", "resolvers"),
    ("strawberry/http/", "", "HTTP in"),
    ("strawberry/fastapi/", "", "HTTP in"),
    ("strawberry/", "", "execution: Strawberry's wrappers"),
    ("bff/auth.py", "", "token"),
    ("bff/identity.py", "", "token"),
    ("jwt/", "", "token"),
    ("bff/graphql_http.py", "create_response", "JSON out"),
    ("benchmarks/hand_written/", "answer", "JSON out"),
    ("benchmarks/hand_written/services.py", "_read", "reading records (orjson)"),
    ("benchmarks/hand_written/services.py", "", "upstream calls: by hand"),
    ("benchmarks/hand_written/", "viewer", "token"),
    ("benchmarks/hand_written/", "", "shaping the answer"),
    ("uvicorn/server.py", "", REST),
    ("bff/server.py", "", REST),
    ("bff/schema.py", "", "HTTP in"),
    ("bff/", "", "HTTP in"),
    ("uvicorn/", "", "HTTP in"),
    ("starlette/", "", "HTTP in"),
    ("fastapi/", "", "HTTP in"),
    ("cross_web/", "", "HTTP in"),
)
_samples: Counter[tuple[CodeType, ...]] = Counter()
_garbage = {"collected": False}


def sample_into(path: Path) -> None:
    """Begin anew at SIGUSR1; write what was seen since at SIGUSR2."""
    gc.callbacks.append(_collecting)
    signal.signal(signal.SIGPROF, _on_tick)
    signal.signal(signal.SIGUSR1, lambda *_: _begin())
    signal.signal(signal.SIGUSR2, lambda *_: _end(path))


def _begin() -> None:
    _samples.clear()
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)


def _end(path: Path) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    phases: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for stack, count in _samples.items():
        phase = next(filter(None, map(_phase, stack)), REST)
        phases[phase] += count
        places[f"{phase} | {_place(stack[0])}"] += count
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"phases": phases.most_common(), "places": places.most_common(40)}))
    part.rename(path)  # whoever waits for it finds all of it


def _on_tick(_signal: int, frame: FrameType | None) -> None:
    stack = [_collecting.__code__] if _garbage["collected"] else []
    while frame is not None:
        stack.append(frame.f_code)
        frame = frame.f_back
    _samples[tuple(stack)] += 1


def _collecting(phase: str, _info: dict[str, int]) -> None:
    """Called before and after. A tick in between, in C, is told at the next line of Python: this one's."""
    _garbage["collected"] = phase == "start"


def _phase(code: CodeType) -> str | None:
    file = code.co_filename
    for part, function, phase in PHASES:
        if f"/{part}" in file and (not function or function == code.co_name):
            return phase
    return None


def _place(code: CodeType) -> str:
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}"
