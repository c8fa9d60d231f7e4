"""Who may read the schema: in production only a program that shows its key (`bff/machines.py`).

One schema serves every app of a process, and its validated documents are kept: so what depends on the request
is decided per operation, here, and not by a rule of validation.
"""

import re
from collections.abc import Iterator

from graphql import DocumentNode, FieldNode, GraphQLError, OperationDefinitionNode, Visitor, visit
from strawberry.extensions import SchemaExtension

from resolvers.context import Context
from resolvers.errors import RequestError

READS_SCHEMA = ("__schema", "__type", "_service")
_MAY_READ_SCHEMA = re.compile(
    r"\b(__schema|__type|_service)\b"
)  # in a document that says none, none is asked
_SUGGESTION = re.compile(r"\s*Did you mean .*", re.DOTALL)


class SchemaClosed(RequestError):
    """The schema is not for everybody, or a key opens the schema only."""

    code = "FORBIDDEN"


class SchemaGate(SchemaExtension):
    """Refuses operations that read the schema and may not, before anything is validated or asked."""

    def on_validate(self) -> Iterator[None]:
        execution = self.execution_context
        context: Context = execution.context
        document, text = execution.graphql_document, execution.query or ""
        if document and not context.sees_schema and _MAY_READ_SCHEMA.search(text) and _read_by(document):
            raise _refusal(
                "The schema is closed here. A program reads it with its key, sent as `X-API-Key`; "
                "people read the published `schema.graphql`."
            )
        if document and not context.sees_data and not _reads_only_schema(document):
            raise _refusal(
                "This key opens the schema and no data. Send a viewer's token as `Authorization: Bearer …`, "
                "and the key as `X-API-Key`."
            )
        yield


def without_suggestion(message: str) -> str:
    """An error of graphql-core without the names it would suggest: they are the schema, piece by piece."""
    return _SUGGESTION.sub("", message)


def _refusal(message: str) -> GraphQLError:
    return GraphQLError(message, original_error=SchemaClosed(message))


def _read_by(document: DocumentNode) -> bool:
    class Finder(Visitor):
        found = False

        def enter_field(self, field: FieldNode, *_: object) -> None:
            self.found = self.found or field.name.value in READS_SCHEMA

    finder = Finder()
    visit(document, finder)
    return finder.found


def _reads_only_schema(document: DocumentNode) -> bool:
    """Whether every operation asks its root for the schema alone, without a fragment that could hold more."""
    return all(
        isinstance(selection, FieldNode) and selection.name.value in (*READS_SCHEMA, "__typename")
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
        for selection in operation.selection_set.selections
    )
