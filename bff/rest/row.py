"""One row of the table: an address, the stored operation that answers it, and what its answer is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bff.operations import stored_operations
from bff.rest.values import ABSENT, Asked, Source, Value
from resolvers.errors import BadUserInput

_STEP = re.compile(r"(\w+)|\[(\d+)\]")


@dataclass(frozen=True)
class Row:
    """One way to ask, or one of several at the same address."""

    method: str
    path: str
    operation: str  # name of a stored one
    response: str  # where in its `data` the answer lies: `syncs.edges[0].node`
    says: str  # what it is, for people
    variables: Mapping[str, Value] = field(default_factory=dict)  # by name, dotted where they are nested
    success: int = 200
    when: str | None = None  # the query parameter that chooses this row; None: whatever the rows before leave
    refuses: tuple[Value, ...] = ()
    caller: bool = True  # whether somebody must be signed in
    asks: bool = True  # whether a service is asked, where the answer's field says that one may be

    @cached_property
    def steps(self) -> tuple[str | int, ...]:
        """The way to the answer, as in the `path` of an error."""
        return tuple(int(index) if index else name for name, index in _STEP.findall(self.response))

    @property
    def name(self) -> str:
        """Tells it from every other row: `GET /api/documents?claim_id`."""
        return f"{self.method} {self.path}" + (f"?{self.when}" if self.when else "")

    @property
    def root(self) -> str:
        """The operation's own field; of a mutation, the one that holds its payload."""
        return str(self.steps[0])

    @property
    def changes(self) -> bool:
        """Whether its operation is a mutation."""
        return stored_operations()[self.operation].startswith("mutation")

    @property
    def may_be_missing(self) -> bool:
        """Whether there may be nothing to answer: an object that does not exist, a list that is empty."""
        return any(value.identifies for value in self.values) or any(
            isinstance(step, int) for step in self.steps
        )

    @property
    def values(self) -> tuple[Value, ...]:
        """All that a request may say."""
        return (*self.variables.values(), *self.refuses)

    @property
    def sources(self) -> list[Source]:
        """Every place where a request may say something."""
        return [source for value in self.values for source in value.sources]

    def variables_of(self, asked: Asked) -> dict[str, Any]:
        """The variables of the operation.

        Raises:
            BadUserInput: a value is missing, cannot be used, or is not known here.
            NothingThere: the path names something that cannot exist.
        """
        if self.caller:  # a probe of everybody's may carry what keeps caches away
            self._refuse_unknown(asked.query, "query")
            self._refuse_unknown(asked.body, "body")
        for refused in self.refuses:
            refused.read(asked)
        variables: dict[str, Any] = {}
        for name, value in self.variables.items():
            read = value.read(asked)
            if read is not ABSENT:
                *outer, last = name.split(".")
                inner = variables
                for each in outer:
                    inner = inner.setdefault(each, {})
                inner[last] = read
        return variables

    def _refuse_unknown(self, said: Mapping[str, Any], place: str) -> None:
        """A filter that is not known, passed over, would show everything as if it were filtered."""
        known = [source.name for source in self.sources if source.place == place]
        for name in said:
            if name not in known and said[name] not in ("", None):
                accepted = f"Accepted: {', '.join(known)}." if known else "None is accepted."
                raise BadUserInput(f"`{name[:50]}` is not known in the {place} here. {accepted}")
