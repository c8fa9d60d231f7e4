"""Documents that are kept as they were read: which, how many, and that a kept one answers as a new one."""

import asyncio
import gc
from typing import Any

from bff_under_test import Bff
from graphql import DocumentNode, parse
from graphql.validation.rules import overlapping_fields_can_be_merged as overlapping

from bff import kept_documents
from bff.kept_documents import KeptDocuments


def document_of(length: int, letter: str = "a") -> tuple[str, DocumentNode]:
    text = "{" + letter * (length - 2) + "}"
    return text, parse(text)


def test_what_was_not_asked_for_longest_goes_first():
    """One client's thousand documents must not push out what all others ask for all day."""
    kept = KeptDocuments(chars_at_most=30)
    for letter in "abc":
        kept.keep(*document_of(10, letter))
    kept.get(document_of(10, "a")[0])

    kept.keep(*document_of(10, "d"))

    assert [letter for letter in "abcd" if kept.get(document_of(10, letter)[0])] == ["a", "c", "d"]


def test_length_is_what_counts():
    """A tree of a long document is hundreds of thousands of objects, at which each collection looks again."""
    kept = KeptDocuments(chars_at_most=30)
    for letter in "abc":
        kept.keep(*document_of(10, letter))

    kept.keep(*document_of(21, "d"))
    assert [letter for letter in "abc" if kept.get(document_of(10, letter)[0])] == []
    kept.keep(*document_of(31, "e"))

    assert kept.get(document_of(21, "d")[0]) is None
    assert kept.get(document_of(31, "e")[0]) is None


async def test_a_kept_document_is_not_validated_again(bff: Bff, monkeypatch):
    """Validating takes longer than answering from memory; most requests bring one of a few documents."""
    rounds = 0
    find = overlapping.find_conflicts_within_selection_set

    def counting(*given: object) -> object:
        nonlocal rounds
        rounds += 1
        return find(*given)

    monkeypatch.setattr(overlapping, "find_conflicts_within_selection_set", counting)
    document = "{ viewer { userId email } } # of test_a_kept_document_is_not_validated_again"

    first = await bff.ask(document)
    after_first = rounds
    again = await bff.ask(document)

    assert first.data == again.data
    assert first.errors == again.errors == []
    assert (after_first > 0, rounds - after_first) == (True, 0)


async def test_an_invalid_document_leaves_nothing_behind(bff: Bff):
    """Nobody sends it twice but who means harm; its tree must go with its answer."""

    def trees() -> int:
        gc.collect()
        return sum(isinstance(each, DocumentNode) for each in gc.get_objects())

    await bff.ask("{ nothing0 }")
    before = trees()
    for nth in range(20):
        answer = await bff.ask(f"{{ nothing{nth} }}")
        assert answer.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"

    assert trees() <= before + 1


async def test_what_lies_deep_is_answered_each_time(bff: Bff):
    """Comparing deep trees broke on the second request: 500, for a document that is valid."""
    document = "{" + "... on Query {" * 190 + "__typename" + "}" * 191

    answers = [await bff.ask(f"{document}#{nth}") for nth in (1, 1, 2)]

    assert [(answer.status, answer.data) for answer in answers] == [(200, {"__typename": "Query"})] * 3


async def test_between_two_new_documents_everybody_else_has_a_turn(bff: Bff, monkeypatch):
    """Of eight that came at once, each of 40 ms, whoever sent none would wait for all."""
    turns, read_in = 0, list[int]()
    validate = kept_documents.validate_document

    def noting(*given: Any) -> Any:
        read_in.append(turns)
        return validate(*given)

    async def others() -> None:
        nonlocal turns
        while len(read_in) < 8:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(kept_documents, "validate_document", noting)
    documents = [f"{{ viewer {{ userId }} }} # {nth} of eight at once" for nth in range(8)]

    await asyncio.gather(others(), *(bff.ask(document) for document in documents))

    assert len(set(read_in)) == 8
