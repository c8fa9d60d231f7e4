"""What a request says and what becomes of it: each kind of value, over what people really send."""

import uuid
from typing import Any

import pytest

from bff.rest.row import Row
from bff.rest.values import (
    Asked,
    NothingThere,
    Source,
    Value,
    body,
    choice,
    enum,
    fixed,
    flag,
    gid,
    key,
    limit,
    never,
    offset,
    path,
    query,
)
from resolvers.connections import cursor
from resolvers.errors import BadUserInput
from resolvers.global_ids import global_id
from resolvers.integrations import IntegrationProvider

CLAIM_ID = "5e11e200-0a00-4000-8000-000000000001"


def row_of(**variables: Value) -> Row:
    """A row with these variables; two underscores stand for a dot."""
    dotted = {name.replace("__", "."): value for name, value in variables.items()}
    return Row("POST", "/x", "X", "x", "X.", dotted)


def read(row: Row, /, **said: Any) -> dict[str, Any]:
    """The variables for a request that says this: `query_x`, `body_x`, `header_x`, `path_x`."""
    places: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}, "body": {}}
    for name, value in said.items():
        place, _, rest = name.partition("_")
        places[place][rest.replace("__", "-")] = value
    return row.variables_of(Asked(**places))


def test_variables_are_nested_and_left_out():
    """What is not said is not sent: the operation's own default holds."""
    row = row_of(input__claimId=gid("Claim", path("id")), input__force=flag(body("force"), default=False))

    assert read(row, path_id=CLAIM_ID) == {"input": {"claimId": global_id("Claim", CLAIM_ID), "force": False}}
    assert read(row_of(a=gid("Sync", body("syncId")), b=fixed("AMAZON"))) == {"b": "AMAZON"}


def test_an_id_is_a_key_or_a_global_id():
    """Both are in use; whether it is one at all, and of the right type, says the graph."""
    row = row_of(id=gid("Claim", query("id")))

    for said in (CLAIM_ID, global_id("Claim", CLAIM_ID)):
        assert read(row, query_id=said) == {"id": global_id("Claim", CLAIM_ID)}
    document = global_id("Document", CLAIM_ID)
    assert read(row, query_id=document) == {"id": document}
    assert read(row, query_id="x") == {"id": global_id("Claim", "x")}
    with pytest.raises(BadUserInput):
        read(row_of(id=gid("Sync", body("syncId"))), body_syncId=["x"])


def test_a_path_of_known_names_has_no_others():
    """A name that cannot exist is not found, which is no mistake of form."""
    row = row_of(id=gid("ServiceHealth", path("name"), keys=["stripe"]))

    assert read(row, path_name="stripe") == {"id": global_id("ServiceHealth", "stripe")}
    for said in ("Stripe", "x", "é"):
        with pytest.raises(NothingThere):
            read(row, path_name=said)


@pytest.mark.parametrize("said", ["amazon", "AMAZON", "Amazon"])
def test_words_have_no_case(said: str):
    """Old screens write small letters, new code writes the graph's."""
    row = row_of(input__provider=enum(IntegrationProvider, query("integration_type"), body("provider")))

    assert read(row, query_integration_type=said) == {"input": {"provider": "AMAZON"}}
    assert read(row, body_provider=said) == {"input": {"provider": "AMAZON"}}


def test_dashes_and_underscores_are_the_same():
    """`under-review` and `UNDER_REVIEW` are one word."""
    row = row_of(status=choice({"under-review": "UNDER_REVIEW"}, query("status")))

    assert {read(row, query_status=said)["status"] for said in ("under-review", "UNDER_REVIEW")} == {
        "UNDER_REVIEW"
    }


def test_the_first_place_counts():
    """A query parameter and a field of the body mean the same; the query is in front."""
    row = row_of(provider=enum(IntegrationProvider, query("type"), body("provider"), required=True))

    assert read(row, query_type="gmail", body_provider="amazon") == {"provider": "GMAIL"}
    with pytest.raises(BadUserInput, match="is missing"):
        read(row)


@pytest.mark.parametrize("said", ["won", "", 1, None, ["amazon"], {}])
def test_another_word_is_refused_with_the_right_ones(said: Any):
    """The message is the documentation that is read."""
    row = row_of(provider=enum(IntegrationProvider, body("provider"), required=True))

    with pytest.raises(BadUserInput, match=r"amazon, gmail, stripe|is missing"):
        read(row, body_provider=said)


def test_pages_become_cursors():
    """`offset` is the cursor of the row before; of the first page there is none."""
    row = row_of(first=limit(20), after=offset())

    assert read(row) == {"first": 20}
    assert read(row, query_limit="100", query_offset="0") == {"first": 100, "after": None}
    assert read(row, query_limit="1", query_offset="40") == {"first": 1, "after": cursor(39)}


@pytest.mark.parametrize("said", ["0", "101", "-1", "1.0", "x", "²", " 1", "1e1", "1" * 400])
def test_a_page_of_another_size_is_refused(said: str):
    """Nothing is cut to size in silence."""
    with pytest.raises(BadUserInput, match="from 1 to 100"):
        read(row_of(first=limit(20)), query_limit=said)


@pytest.mark.parametrize("said", ["-1", "x", "1.5", "²", "1234567890", "9" * 5000])
def test_an_offset_that_is_none_is_refused(said: str):
    """Services turn huge offsets into a 500."""
    with pytest.raises(BadUserInput, match="from 0"):
        read(row_of(after=offset()), query_offset=said)


@pytest.mark.parametrize("said", ["true", 1, 0, []])
def test_true_is_not_almost_true(said: Any):
    """`"false"` in quotes would count as true in a language that is kind to it."""
    with pytest.raises(BadUserInput, match="true or false"):
        read(row_of(reconnect=flag(body("reconnect"), default=False)), body_reconnect=said)


def test_a_key_is_demanded_and_passed_on():
    """A key made up here would be another one at each repetition, and the work be done twice."""
    row, said = row_of(input__idempotencyKey=key()), str(uuid.uuid4())

    assert read(row, header_Idempotency__Key=said) == {"input": {"idempotencyKey": said}}
    for wrong in ("", "x", said[:-1], f"{{{said}}}"):
        with pytest.raises(BadUserInput, match="Idempotency-Key"):
            read(row, header_Idempotency__Key=wrong)
    with pytest.raises(BadUserInput, match="send the same one again"):
        read(row)


def test_what_cannot_be_done_is_refused_with_the_reason():
    """`?purge=true` that only disconnects would be a promise broken in silence."""
    row = Row(
        "POST", "/x", "X", "x", "X.", refuses=(never(query("purge"), "nobody deletes", unless="false"),)
    )

    assert read(row, query_purge="false") == {}
    with pytest.raises(BadUserInput, match="nobody deletes"):
        read(row, query_purge="true")


@pytest.mark.parametrize("place", ["query", "body"])
def test_what_is_not_known_is_refused(place: str):
    """A filter that is passed over shows everything as if it were filtered."""
    row = row_of(first=limit(20), reconnect=flag(body("reconnect"), default=False))

    with pytest.raises(BadUserInput, match=r"`claim_type` is not known.*Accepted: \w+"):
        read(row, **{f"{place}_claim_type": "lost"})
    assert Source("query", "limit") in row.sources
