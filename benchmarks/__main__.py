"""`python -m benchmarks`: see the README beside this file."""

import argparse
import asyncio
import json
from pathlib import Path

from benchmarks.processes import pin


def main() -> None:
    """Run what the command line asks for; `upstream` and `serve` are the processes that a run starts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--core", type=int)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upstream")
    serving = commands.add_parser("serve")
    serving.add_argument("server")
    serving.add_argument("port", type=int)
    serving.add_argument("services", type=json.loads)
    serving.add_argument("stripe_claim_ids", type=Path)
    serving.add_argument("db_url")
    serving.add_argument("--sampled", type=Path)
    profiling = commands.add_parser("profile")
    profiling.add_argument("--case", default="Recoveries")
    profiling.add_argument("--seconds", type=float, default=8)
    told = parser.parse_args()
    if told.core is not None:
        pin(told.core)
    if told.command == "upstream":
        from benchmarks.upstream import serve as serve_upstream

        asyncio.run(serve_upstream())
    elif told.command == "serve":
        from benchmarks.sampling import sample_into
        from benchmarks.servers import serve

        if told.sampled:
            sample_into(told.sampled)
        ids = json.loads(told.stripe_claim_ids.read_text())
        serve(told.server, told.port, told.services, ids, told.db_url)
    elif told.command == "profile":
        from benchmarks.profile import profile

        asyncio.run(profile(told.case, told.seconds))


if __name__ == "__main__":
    main()
