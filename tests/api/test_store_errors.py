"""What a client is told when the BFF's own records fail it."""

from pathlib import Path

import pytest
from graphql import GraphQLError

from bff.errors import explained
from clients.errors import StoreError

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.mark.parametrize("failure", StoreError.__subclasses__(), ids=lambda failure: failure.code)
def test_every_failure_of_the_store_has_words_and_a_line_in_the_docs(failure: type[StoreError]):
    """Without them a client reads "something went wrong", and an operator looks for a bug."""
    error = explained(GraphQLError("x", original_error=failure("postgres://secret")), "OP-1")

    assert error.extensions == {
        "code": failure.code,
        "retryable": failure.retryable,
        "retryAfterMs": None,
        "supportCode": "OP-1",
    }
    assert "secret" not in error.message
    assert f"| `{failure.code}` |" in DOCS.read_text()
