"""`python -m benchmarks run`, or `profile`: see the README beside this file."""

import argparse
import ctypes
import json
import os
import signal
from pathlib import Path

from benchmarks.names import ASKED_FROM, HAND_WRITTEN


def main() -> None:
    """Run what the command line asks for; `upstream` and `serve` are the processes that a run starts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--core", type=int, default=ASKED_FROM, help="Of this process, where there is one.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("how", nargs="?", choices=["full", "quick"], default="full")
    profiling = commands.add_parser("profile")
    profiling.add_argument("case", nargs="?", default="Recoveries", help="How its name begins.")
    profiling.add_argument("--seconds", type=float, default=10)
    commands.add_parser("upstream")
    serving = commands.add_parser("serve")
    serving.add_argument("server")
    serving.add_argument("port", type=int)
    serving.add_argument("services", type=json.loads)
    serving.add_argument("stripe_claim_ids", type=Path)
    serving.add_argument("db_url")
    serving.add_argument("--sampled", type=Path)
    told = parser.parse_args()
    if told.core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {told.core})
    _DO[told.command](told)


# Each imports what it needs: the endpoint written by hand shall not carry the BFF's memory.


def _run(told: argparse.Namespace) -> None:
    import uvloop

    from benchmarks.run import FULL, QUICK, run

    uvloop.run(run(QUICK if told.how == "quick" else FULL))


def _profile(told: argparse.Namespace) -> None:
    import uvloop

    from benchmarks.profile import profile

    uvloop.run(profile(told.case, told.seconds))


def _upstream(_: argparse.Namespace) -> None:
    import uvloop

    _end_with_parent()

    from benchmarks.upstream import serve

    uvloop.run(serve())


def _serve(told: argparse.Namespace) -> None:
    _end_with_parent()
    if told.sampled:
        from benchmarks.sampling import sample_into

        sample_into(told.sampled)
    stripe_claim_ids = json.loads(told.stripe_claim_ids.read_text())
    if told.server == HAND_WRITTEN:
        from benchmarks.hand_written.app import run

        run(told.port, told.services, stripe_claim_ids)
    else:
        from benchmarks.servers import serve

        serve(told.server, told.port, told.services, stripe_claim_ids, told.db_url)


def _end_with_parent() -> None:
    """A run that is killed leaves no servers behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


_DO = {"run": _run, "profile": _profile, "upstream": _upstream, "serve": _serve}

if __name__ == "__main__":
    main()
