"""Trusted documents: those of a manifest and our own, by id or in full; and what becomes of the others."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import time_machine
from bff_under_test import Bff, MakeBff
from typer.testing import CliRunner

from bff.app import dev_token
from bff.cli import main
from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS
from bff.trusted import BadManifest, Trust, manifest_of, read_manifest, sha256

KNOWN = "query Known { viewer { userId } }"
UNKNOWN = "query Unknown { viewer { email } }"
ME = {"data": {"viewer": {"userId": SELLERS[0].user_id}}}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest of one document, as Apollo's tool writes it."""
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest_of({"Known": KNOWN})))
    return file


async def post(bff: Bff, *, id: str | None = None, accept: str = "*/*", **body: Any) -> httpx.Response:
    """Ask as a seller: with an id, or a document, or both."""
    if id:
        body["extensions"] = {"persistedQuery": {"version": 1, "sha256Hash": id}}
    headers = {"authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}", "accept": accept}
    return await bff.http.post("/graphql", json=body, headers=headers)


def code_of(response: httpx.Response) -> str:
    assert response.json().keys() == {"errors"}
    [error] = response.json()["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize("mode", Trust)
async def test_a_trusted_document_runs_by_id_and_in_full(make_bff: MakeBff, manifest: Path, mode: Trust):
    """In every mode, and nothing has to be taught: clients were built with the ids."""
    bff = await make_bff(claims=2, trusted_documents=manifest, trusted_documents_mode=mode)

    with structlog.testing.capture_logs() as events:
        answers = [
            await post(bff, id=sha256(KNOWN)),
            await post(bff, query=KNOWN),
            await post(bff, query=KNOWN, id=sha256(KNOWN)),
        ]

    assert [answer.json() for answer in answers] == [ME, ME, ME]
    assert "document.distrusted" not in {event["event"] for event in events}


@pytest.mark.parametrize("accept", ["application/graphql-response+json", "application/json"])
async def test_only_means_only(make_bff: MakeBff, manifest: Path, accept: str):
    """Whoever stole a token can run what our apps run, and nothing they made up: not even to be parsed."""
    bff = await make_bff(claims=2, trusted_documents=manifest, trusted_documents_mode=Trust.ONLY)
    bff.calls()

    refused = [
        await post(bff, accept=accept, query=UNKNOWN),
        await post(bff, accept=accept, query=UNKNOWN, id=sha256(UNKNOWN)),
        await post(bff, accept=accept, query=KNOWN + " "),
        await post(bff, accept=accept, query="{ this cannot be parsed"),
        await post(bff, accept=accept, id=sha256(UNKNOWN)),
    ]

    assert [code_of(response) for response in refused] == [
        "QUERY_NOT_IN_SAFELIST",
        "QUERY_NOT_IN_SAFELIST",
        "QUERY_NOT_IN_SAFELIST",
        "QUERY_NOT_IN_SAFELIST",
        "PERSISTED_QUERY_NOT_IN_LIST",
    ]
    assert {response.status_code for response in refused} == {400 if "graphql" in accept else 200}
    assert bff.calls() == {}


async def test_an_id_does_not_carry_another_document(make_bff: MakeBff, manifest: Path):
    """A trusted id beside a foreign document must not make that one trusted."""
    bff = await make_bff(claims=2, trusted_documents=manifest, trusted_documents_mode=Trust.ONLY)

    response = await post(bff, query=UNKNOWN, id=sha256(KNOWN))

    assert (response.status_code, code_of(response)) == (400, "PERSISTED_QUERY_HASH_MISMATCH")


async def test_our_own_operations_are_always_trusted(make_bff: MakeBff):
    """The React app and /health must live when `only` is set before a manifest is made."""
    bff = await make_bff(claims=2, trusted_documents_mode=Trust.ONLY)

    by_id = await post(bff, id=sha256(stored_operations()["Dashboard"]))
    in_full = await bff.ask("Dashboard")

    assert by_id.json()["data"]["dashboard"]
    assert in_full.data["dashboard"]
    assert (await bff.http.get("/health")).status_code == 200


async def test_warn_names_each_unknown_document_once_an_hour(make_bff: MakeBff, manifest: Path):
    """What would be refused is found in the log before it is refused, and does not flood it."""
    bff = await make_bff(claims=2, trusted_documents=manifest, trusted_documents_mode=Trust.WARN)

    with structlog.testing.capture_logs() as events:
        taught = await post(bff, query=UNKNOWN, id=sha256(UNKNOWN))
        by_hash = await post(bff, id=sha256(UNKNOWN))
        await post(bff, query="{ viewer { name } }")
        with time_machine.travel(time.time() + 3601, tick=True):
            await post(bff, query=UNKNOWN)

    assert taught.json() == by_hash.json() == {"data": {"viewer": {"email": SELLERS[0].email}}}
    named = [event for event in events if event["event"] == "document.distrusted"]
    assert [(event["sha256"], event["operation"]) for event in named] == [
        (sha256(UNKNOWN), "Unknown"),
        (sha256("{ viewer { name } }"), "unnamed"),
        (sha256(UNKNOWN), "Unknown"),
    ]
    assert UNKNOWN not in str(named)


@pytest.mark.parametrize("mode", Trust)
async def test_a_trusted_document_is_known_by_its_hash_whatever_its_id(
    make_bff: MakeBff, tmp_path: Path, mode: Trust
):
    """A client with automatic persisted queries knows no other id: it would ask twice each time, for ever."""
    file = tmp_path / "persisted-documents.json"
    file.write_text(json.dumps({"1f0f": KNOWN}))
    bff = await make_bff(claims=2, trusted_documents=file, trusted_documents_mode=mode)

    answers = [
        await post(bff, id=sha256(KNOWN)),
        await post(bff, id=sha256(KNOWN), query=KNOWN),
        await post(bff, id="1f0f"),
    ]

    assert [answer.json() for answer in answers] == [ME, ME, ME]


async def test_a_plain_map_is_a_manifest_too(make_bff: MakeBff, tmp_path: Path):
    """GraphQL code generator writes ids and documents; its ids need not be SHA-256."""
    file = tmp_path / "persisted-documents.json"
    file.write_text(json.dumps({"sha1-like-id": KNOWN}))
    bff = await make_bff(claims=2, trusted_documents=file, trusted_documents_mode=Trust.ONLY)

    assert (await post(bff, id="sha1-like-id")).json() == ME
    assert (await post(bff, id="sha1-like-id", query=KNOWN)).json() == ME


def apollos(*operations: object, **head: object) -> str:
    """A manifest in Apollo's format."""
    return json.dumps(
        {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations} | head
    )


GOOD = {"id": "a", "name": "Known", "type": "query", "body": KNOWN}
BAD_MANIFESTS = {
    "no JSON": ("{", "is not JSON"),
    "no object": ("[]", "is a JSON object"),
    "an empty map": ("{}", "holds no operations"),
    "no operations": (apollos(), "holds no operations"),
    "operations that are no list": (apollos(operations={}), "`operations` is not a list"),
    "another format": (apollos(GOOD, format="relay"), "is not of the format"),
    "another version": (apollos(GOOD, version=2), "is not of the format"),
    "an operation without an id": (apollos(GOOD, {**GOOD, "id": None}), "operation 1 .'Known'. has no id"),
    "an operation without a body": (
        apollos({**GOOD, "body": 5}),
        "operation 0 .'Known'. has no id or no",
    ),
    "an operation that is none": (apollos("Known"), "operation 0 .None. has no id"),
    "two documents of one id": (
        apollos(GOOD, {**GOOD, "body": UNKNOWN}),
        "operation 1 .* another document",
    ),
    "a body that is no GraphQL": (apollos({**GOOD, "body": "{"}), "operation 0 .'Known'. is not GraphQL"),
    "a body of fragments": (apollos({**GOOD, "body": "fragment F on Query { a }"}), "holds no operation"),
    "an entry that is no document": ('{"hash": 5}', "entry 'hash' has no id"),
}


@pytest.mark.parametrize(("text", "said"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_a_bad_manifest_says_what_is_wrong(tmp_path: Path, text: str, said: str):
    """It names the file and the entry: it was written by another team's build."""
    file = tmp_path / "manifest.json"
    file.write_text(text)

    with pytest.raises(BadManifest, match=f"manifest.json: .*{said}"):
        read_manifest(file)


def test_a_bad_manifest_stops_the_start(tmp_path: Path):
    """Started without it, `only` would refuse every client, and `off` would run what was to be refused."""
    started = subprocess.run(
        [sys.executable, "-c", "import bff.main"],
        env={
            "JWT_SECRET": "x" * 40,
            "CRYPTO_SECRET": "y" * 40,
            "BFF_TRUSTED_DOCUMENTS": str(tmp_path / "absent.json"),
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode == 2
    assert "absent.json: cannot be read: No such file" in started.stderr
    assert "Traceback" not in started.stderr


async def test_the_command_writes_a_manifest_that_is_read(tmp_path: Path):
    """`bff manifest` is what a build starts from: every stored operation, each under its hash."""
    file = tmp_path / "ours.json"

    ran = CliRunner().invoke(main, ["manifest", "--output", str(file)])

    assert ran.exit_code == 0
    assert read_manifest(file) == {sha256(body): body for body in stored_operations().values()}
    written = json.loads(file.read_text())["operations"]
    assert {operation["name"] for operation in written} == stored_operations().keys()
    assert {operation["type"] for operation in written} <= {"query", "mutation", "subscription"}
