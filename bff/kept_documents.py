"""Documents that were found valid, kept as they were read: clients send the same few all day.

By their text. Strawberry's own caches compare whole trees, which breaks on deep ones. They also keep what is
invalid, and count documents instead of their length: 256 long ones are so many objects that each collection
of garbage takes a quarter of a second.
"""

from collections import OrderedDict
from collections.abc import Iterator

from graphql import DocumentNode, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

CHARS_AT_MOST = 300_000  # of all texts; a hundred large screens


class KeptDocuments:
    """The documents of one schema, under one set of rules; what was not asked for longest goes first."""

    def __init__(self, chars_at_most: int = CHARS_AT_MOST) -> None:
        self._left = chars_at_most
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        return text in self._documents

    def get(self, text: str) -> DocumentNode | None:
        """The document, if it is kept: then it is valid."""
        if text in self._documents:
            self._documents.move_to_end(text)
        return self._documents.get(text)

    def keep(self, text: str, document: DocumentNode) -> None:
        """Keep a valid document, once."""
        if text in self._documents:
            return
        self._documents[text] = document
        self._left -= len(text)
        while self._left < 0:
            longest_unused, _ = self._documents.popitem(last=False)
            self._left += len(longest_unused)


class ReadOnce(SchemaExtension):
    """Reads and validates a document, unless it is kept."""

    def __init__(self, kept: KeptDocuments) -> None:
        self._kept = kept
        self._known = False

    def on_parse(self) -> Iterator[None]:
        execution = self.execution_context
        text = execution.query or ""
        document = self._kept.get(text)
        self._known = document is not None
        execution.graphql_document = document or parse(text, **execution.parse_options)
        yield

    def on_validate(self) -> Iterator[None]:
        execution = self.execution_context
        document = execution.graphql_document
        assert document is not None, "it was read"
        if self._known:
            execution.pre_execution_errors = []
        else:
            execution.pre_execution_errors = validate_document(
                execution.schema._schema, document, execution.validation_rules
            )
            if not execution.pre_execution_errors:
                self._kept.keep(execution.query or "", document)
        yield
