"""Identical queries of one viewer that are in flight at once are executed once.

A dashboard that is open in four tabs asks four times in the same instant. Each request is still read, checked
and counted by itself, has its own support code, and is told the same. `X-Coalesce: no` executes it by itself.

Once a mutation of the viewer has ended, nobody joins a query that began before it: its answer may be older.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import orjson
from graphql import ExecutionResult
from strawberry.types.execution import ExecutionContext
from strawberry.types.graphql import OperationType

from clients.caller import Viewer
from resolvers.context import Context

Execute = Callable[[], Awaitable[ExecutionResult]]


class InFlight:
    """The queries that are being executed in this process."""

    def __init__(self) -> None:
        self._flights: dict[_Question, asyncio.Future[tuple[ExecutionResult, Context]]] = {}

    async def execute(self, execution: ExecutionContext, execute: Execute) -> ExecutionResult:
        """Execute an operation, or wait for the same one that is in flight.

        When the client leaves for which it is executed, one of those that wait begins anew.
        """
        context: Context = execution.context
        if execution.operation_type == OperationType.MUTATION:
            try:
                return await execute()
            finally:
                self._begin_anew(context.viewer)
        if (
            context.alone
            or context.caller.rehearsed
            or context.transport != "http"
            or execution.operation_type != OperationType.QUERY
        ):
            return await execute()
        question = _question(execution, context)
        if question is None:
            return await execute()
        while flight := self._flights.get(question):
            await asyncio.wait([flight])
            if not flight.cancelled():
                return _shared(*flight.result(), context)
        flight = self._flights[question] = asyncio.get_running_loop().create_future()
        try:
            result = await execute()
            flight.set_result((_copy(result), context))  # whoever asked goes on to put errors into words
            return result
        finally:
            if self._flights.get(question) is flight:
                del self._flights[question]
            flight.cancel()  # unless it has its result

    def _begin_anew(self, viewer: Viewer) -> None:
        """Let nobody join the viewer's flights any more; whoever waits for one goes on waiting."""
        for question in [question for question in self._flights if question.viewer.user_id == viewer.user_id]:
            del self._flights[question]


class _Question(NamedTuple):
    """All that an answer can depend on."""

    viewer: Viewer  # with the token's scopes, and its end
    sees_data: bool
    sees_schema: bool
    router_scopes: bool
    budget_s: float  # with more time the answer can be better
    document: str | None
    operation_name: str | None
    variables: bytes


def _question(execution: ExecutionContext, context: Context) -> _Question | None:
    """The question of an operation; None of variables that nest too deep to be compared."""
    try:
        variables = orjson.dumps(execution.variables or {})
    except orjson.JSONEncodeError:
        return None
    return _Question(
        context.viewer,
        context.sees_data,
        context.sees_schema,
        context.router_scopes,
        context.budget_s,
        execution.query,
        execution.operation_name,
        variables,
    )


def _shared(result: ExecutionResult, leader: Context, context: Context) -> ExecutionResult:
    """A result of the leader's for somebody else: nothing was sent for them, and what was given is noted."""
    for service, use in leader.caller.uses.items():
        context.caller.uses[service] = replace(use, attempts=0, answers=set(use.answers))
    for field, object_id in leader.trail.given:
        context.trail.read(field, object_id)
    return _copy(result)


def _copy(result: ExecutionResult) -> ExecutionResult:
    return ExecutionResult(result.data, list(result.errors) if result.errors else None)
