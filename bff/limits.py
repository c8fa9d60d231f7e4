"""How much one operation may ask of us: the one place where it is set.

limit       what is counted                                                                known
source      characters of the document                                                     before it is read
tokens      its tokens, and its comments                                                   while it is read
digits      of a number                                                                    before validation
depth       fields one inside the other
aliases     fields under another name, each time a fragment with one is spread
roots       fields of Query, Mutation or Subscription
directives  in the operation, each time a fragment with one is spread
list        items of a list that is given: in an argument or a variable
repeats     comparisons of fields under one name, two at a time                            in validation
fields      fields of the answer and spreads, one object of a list                         before execution
objects     objects in its lists, at the sizes of page that are asked for
cost        upstream calls that it takes as a rule, the dear ones counted more: `bff explain`

Each fragment is looked at once, so a document costs time by its length, not by what it would unfold to. What
lies inside `__schema` and `__type` is not counted: graphql-core bounds it.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeVar

import structlog
from graphql import DocumentNode, GraphQLSyntaxError, OperationDefinitionNode, TokenKind
from pydantic import BaseModel, ConfigDict, Field
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import PreExecutionError

from bff.comparisons import TooManyComparisons, rules_within
from bff.explain import NotExecutable, TooManyFields, priced
from bff.shape import Shape, ShapeWalk
from resolvers.context import Context
from resolvers.errors import RequestError

DIGITS = 1000  # Python reads no whole number of more than 4300, and no scalar of ours needs a hundred
_LONG_NUMBER = re.compile(rf"[0-9]{{{DIGITS}}}")
KEPT = 256  # shapes and prices, as many of each as parsed documents; pricing takes up to a millisecond
# By the text and not the document, whose hash is worked out anew each time.
_shapes: dict[tuple[object, ...], Shape] = {}  # text, operation → shape
_prices: dict[tuple[object, ...], "Price"] = {}  # text, operation, sizes of page → price

Kept = TypeVar("Kept")
log = structlog.get_logger()


class Price(NamedTuple):
    """What is kept of the price of an operation."""

    cost: int
    objects: int
    event_cost: int  # of each event of a stream, beyond its snapshot


class LimitSettings(BaseModel):
    """The limits, and whether they are kept. Those of the parser always are: source to digits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["off", "measure", "enforce"] = Field(
        default="enforce", description="`measure` counts and logs what would be refused, and serves it."
    )
    source_chars: int = Field(default=50_000, ge=1, description="Characters of a document at most.")
    tokens: int = Field(default=2000, ge=1, le=100_000, description="Tokens of a document at most.")
    comments: int = Field(default=200, ge=0, description="Comments of a document at most.")
    depth: int = Field(default=10, ge=1, description="Fields one inside the other at most.")
    aliases: int = Field(default=15, ge=0, description="Aliases at most.")
    roots: int = Field(default=10, ge=1, description="Root fields at most.")
    directives: int = Field(default=20, ge=0, description="Directives at most.")
    list_items: int = Field(
        default=1000,
        ge=1,
        description="Items of one list that is given, at most; a router cannot split its representations.",
    )
    repeats: int = Field(
        default=10_000, ge=100, description="Steps to compare fields of one name with one another, at most."
    )
    fields: int = Field(default=2000, ge=1, description="Different fields of the answer at most.")
    objects: int = Field(default=5000, ge=1, description="Objects in the answer's lists at most.")
    cost: int = Field(default=200, ge=1, description="Expected upstream calls of one operation at most.")
    errors: int = Field(
        default=20, ge=1, description="Errors told about a document that cannot be run, at most."
    )

    @property
    def of_the_parser(self) -> dict[str, Any]:
        """The limits that graphql-core's parser keeps, as it names them."""
        return {
            "max_source_length": self.source_chars,
            "max_lexical_tokens": self.tokens,
            "max_comments": self.comments,
        }


class QueryTooComplex(RequestError):
    """The operation asks more than one operation may."""

    code = "QUERY_TOO_COMPLEX"


MESSAGES = {
    "source": "The document has {value} characters, {at_most} at most. Send one operation only.",
    "tokens": "The document is too long: {at_most} tokens at most. Split the operation.",
    "comments": "The document has too many comments: {at_most} at most. Leave them out.",
    "digits": "A number has {value} digits, {at_most} at most.",
    "depth": "The operation is {value} fields deep, {at_most} at most. Ask for the rest in another one.",
    "aliases": "The operation has {value} aliases, {at_most} at most. Ask for a list, or split it.",
    "roots": "The operation has {value} root fields, {at_most} at most. Split the operation.",
    "directives": "The operation has {value} directives, {at_most} at most. Leave some out.",
    "list": "A list has {value} items, {at_most} at most. Send it in parts.",
    "repeats": "The document repeats fields too often: {at_most} comparisons at most. Ask for each once.",
    "fields": "The operation asks for too many fields, {at_most} at most. Split the operation.",
    "objects": "The answer may hold {value} objects, {at_most} at most. Ask for smaller pages with `first`.",
    "cost": "The operation costs {value} upstream calls, {at_most} at most. Ask for smaller pages with "
    "`first`, for fewer ids at once, or for fewer fields that ask a service (`@upstream` in the schema).",
}
OF_THE_PARSER = {"tokens. Parsing": "tokens", "comments.": "comments", "code points.": "source"}


def _shape(document: DocumentNode, operation_name: str | None) -> Shape:
    """The shape of the operation that will be executed.

    Raises:
        QueryTooComplex: fragments lie in one another beyond what Python can follow.
    """
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode) and (
            operation_name is None or (node.name and node.name.value == operation_name)
        ):
            try:
                return ShapeWalk(document).shape(node)
            except RecursionError:
                raise QueryTooComplex("The fragments lie too deep in one another.") from None
    return Shape()  # there is none: whoever executes it says so


class OperationLimits(SchemaExtension):
    """Holds each operation to the limits: before anything is asked, and most of them before validation."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._cost: int | None = None
        self._refused = False

    def on_operation(self) -> Iterator[None]:
        limits, execution = self._limits, self.execution_context
        execution.parse_options.update(limits.of_the_parser)  # type: ignore[typeddict-item]  # newer than Strawberry's type
        if limits.mode == "enforce":
            execution.validation_rules = rules_within(limits.repeats)
        try:
            yield
        except TooManyComparisons:
            self._exceeded("repeats", limits.repeats + 1, limits.repeats, refuse=True)
        except GraphQLSyntaxError as exc:
            for words, limit in OF_THE_PARSER.items():
                if words in exc.message and "contains more than" in exc.message:
                    at_most = {"tokens": limits.tokens, "comments": limits.comments}.get(
                        limit, limits.source_chars
                    )
                    self._exceeded(limit, len(execution.query or ""), at_most, refuse=True)
            raise
        result: Any = execution.result
        if isinstance(result, PreExecutionError) and result.errors and len(result.errors) > limits.errors:
            result.errors = result.errors[: limits.errors]

    def on_validate(self) -> Iterator[None]:
        limits, execution = self._limits, self.execution_context
        if execution.graphql_document and _LONG_NUMBER.search(execution.query or ""):
            digits = _longest_number(execution.graphql_document)
            if digits > DIGITS:
                self._exceeded("digits", digits, DIGITS, refuse=True)
        if limits.mode != "off" and execution.graphql_document:
            key = (execution.query, execution.operation_name)
            shape = _shapes.get(key)
            if shape is None:
                shape = _keep(_shapes, key, _shape(execution.graphql_document, execution.operation_name))
            self._hold("depth", shape.depth, limits.depth)
            self._hold("aliases", shape.aliases, limits.aliases)
            self._hold("roots", shape.fields, limits.roots)
            self._hold("directives", shape.directives, limits.directives)
            self._hold("list", max(shape.longest_list, _longest(execution.variables)), limits.list_items)
        yield
        if not execution.pre_execution_errors:
            self._price()

    def get_results(self) -> dict[str, Any]:
        """`extensions.cost`: for whoever asked, and whenever it is why the operation is refused."""
        if self._cost is None or not (self._refused or self._context.tell_cost):
            return {}
        actual = sum(use.attempts for use in self._context.caller.uses.values())
        return {"cost": {"requested": self._cost, "limit": self._limits.cost, "actual": actual}}

    @property
    def _context(self) -> Context:
        context: Context = self.execution_context.context
        return context

    def _price(self) -> None:
        limits = self._limits
        try:
            price = self._worked_out()
        except TooManyFields:
            # If it is served all the same: as the dearest that would be.
            self._context.cost = self._context.event_cost = limits.cost
            self._hold("fields", limits.fields + 1, limits.fields)
            return
        except NotExecutable:  # the executor says so, in the same words
            return
        self._cost = price.cost
        self._context.cost, self._context.event_cost = max(1, price.cost), price.event_cost
        self._hold("objects", price.objects, limits.objects)
        self._hold("cost", price.cost, limits.cost)

    def _worked_out(self) -> Price:
        execution = self.execution_context
        schema, document = execution.schema, execution.graphql_document
        name, variables = execution.operation_name, execution.variables or {}
        assert document is not None, "it was validated"
        # All that a price depends on, of what the document declares: an id is mostly one like another.
        names = sorted(
            variable.variable.name.value
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
            for variable in node.variable_definitions or ()
        )
        sizes = ((given, _size(variables[given])) for given in names if given in variables)
        key = (schema, execution.query, name, *sizes)
        if key in _prices:
            return _prices[key]
        found = priced(schema, document, variables, name, fields_at_most=self._limits.fields)
        price = Price(found.cost, found.objects, found.event_cost)
        return price if found.by_values else _keep(_prices, key, price)

    def _hold(self, limit: str, value: int, at_most: int) -> None:
        if value > at_most and self._limits.mode != "off":
            self._exceeded(limit, value, at_most, refuse=self._limits.mode == "enforce")

    def _exceeded(self, limit: str, value: int, at_most: int, *, refuse: bool) -> None:
        log.info("limit.exceeded", limit=limit, value=min(value, 10**12), at_most=at_most, refused=refuse)
        self._context.on_limit(limit, refuse)
        if refuse:
            self._refused = limit == "cost"
            shown = value if value < 10**12 else "countless"
            raise QueryTooComplex(MESSAGES[limit].format(value=shown, at_most=at_most))


def _keep(kept: dict[tuple[object, ...], Kept], key: tuple[object, ...], value: Kept) -> Kept:
    if len(kept) >= KEPT:
        kept.clear()
    kept[key] = value
    return value


def _longest_number(document: DocumentNode) -> int:
    """Letters of the longest number in a document."""
    longest, token = 0, document.loc.start_token if document.loc else None
    while token:
        if token.kind in (TokenKind.INT, TokenKind.FLOAT):
            longest = max(longest, len(token.value or ""))
        token = token.next
    return longest


def _size(value: Any) -> tuple[str, object]:
    kind = type(value).__name__  # 1 and True are equal, and different page sizes
    if isinstance(value, list):
        return kind, len(value)
    return kind, value if isinstance(value, int | float) else None


def _longest(variables: Any) -> int:
    """Items of the longest list in the variables."""
    longest, left = 0, [variables]
    while left:
        value = left.pop()
        if isinstance(value, list):
            longest = max(longest, len(value))
            left.extend(value)
        elif isinstance(value, dict):
            left.extend(value.values())
    return longest
