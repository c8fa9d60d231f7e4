"""All that a run over the whole graph logged, ours and the libraries', searched for secrets."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator

import pytest
import structlog
from bff_under_test import Bff, MakeBff, listen, running
from opentelemetry import trace
from read_operations import variables_for
from write_operations import MUTATIONS

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.dev_issuer import DevIssuer
from bff.sandbox.sandbox import DEV_SECRETS, Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.settings.audit import DEV_SECRET
from bff.telemetry import configure_logging, strike_out_secrets

ANN = SELLERS[0]
MACHINE_KEY = "a-key-of-the-router-of-these-tests-and-no-other"
WRONG_KEY = "a-key-that-nobody-has-0123456789"
FORGED = "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoiMSJ9."
E_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
JWT = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*")

Logged = Callable[[], str]


@pytest.fixture(params=["lines of JSON", "a terminal"])
def logged(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """All that the process wrote; of our own events also those for debugging."""
    configure_logging(readable=request.param == "a terminal", level=logging.DEBUG)
    root = logging.getLogger()

    def text() -> str:
        out, err = capfd.readouterr()
        assert err == "", "whatever goes there went past our processors"
        return out

    yield text
    root.handlers[:] = [each for each in root.handlers if type(each).__name__ != "_StandardOutput"]
    structlog.reset_defaults()


def strings_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from strings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings_in(each)
    elif isinstance(value, str):
        yield value


async def whole_graph(bff: Bff) -> set[str]:
    """Read, write, be refused and be failed; the links and secrets that clients were handed."""
    world = bff.sandbox.world
    reading = variables_for(world)
    answers = [await bff.ask(operation, **variables) for operation, variables in reading.items()]
    answers += [await bff.ask(name, **mutation.variables(world)) for name, mutation in MUTATIONS.items()]
    for fault in ("error", "garbage", "down"):
        for service in DEV_SECRETS:
            bff.sandbox.faults[service] = fault
        answers.append(await bff.ask("Dashboard"))
        answers.append(await bff.ask("UpdateClaim", **MUTATIONS["UpdateClaim"].variables(bff.sandbox.world)))
    bff.sandbox.faults.clear()
    assert bff.settings.jwt_secret
    poor = DevIssuer(bff.settings.jwt_secret).token(
        user_id=ANN.user_id, email=ANN.email, name=None, stripe_user_id=None, scopes=[]
    )
    shown: list[dict[str, str]] = [
        {},
        {"authorization": f"Bearer {FORGED}"},
        {"authorization": f"Bearer {poor}"},
        {"authorization": f"Basic {WRONG_KEY}"},
        {"x-api-key": MACHINE_KEY},
        {"x-api-key": WRONG_KEY},
        {"authorization": f"Bearer {dev_token(bff.settings, ANN)}", "x-rehearse": "stripe=down"},
    ]
    answers += [await bff.ask_with(headers, "{ viewer { userId } }") for headers in shown]
    answers.append(await bff.ask("UpdateClaim", input={"claimId": ANN.email}))
    answers.append(await bff.ask(f'{{ node(id: "{ANN.email}") {{ id }} }}'))
    told = {text for answer in answers for text in strings_in(answer.data)}
    handed = {text for text in told if re.search(r"X-Amz|[Ss]ignature=|_secret_", text)}
    assert handed, "this run was meant to hand out links and secrets"
    return handed | {poor}


async def test_no_secret_token_link_or_address_is_logged(make_bff: MakeBff, logged: Logged):
    """Logs are read by many, kept for long and sent to others."""
    machines = {"router": (hashlib.sha256(MACHINE_KEY.encode()).hexdigest(),)}
    bff = await make_bff(claims=30, mcde_repaired=True, search_reachable=True, machines=machines)
    handed = await whole_graph(bff)
    headers = [heard.headers for heard in bff.heard]
    sent = {each["authorization"].split()[-1] for each in headers if "authorization" in each}
    log_of_a_library(f"asked https://files.test/a?X-Amz-Signature=0123 for {ANN.email} with Bearer {FORGED}")

    text = logged()

    assert sent, "services were sent tokens"
    secrets = {DEV_SECRET, MACHINE_KEY, WRONG_KEY, FORGED, *DEV_SECRETS.values(), *handed, *sent}
    assert "operation.executed" in text
    assert [secret for secret in secrets if secret in text] == []
    assert E_MAIL.findall(text) == []
    assert JWT.findall(text) == []
    assert re.findall(r"X-Amz-\w+|[Ss]ignature=", text) == []
    assert "the library says" in text


def log_of_a_library(said: str) -> None:
    try:
        raise ValueError(said)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("the library says: %s", said)


def test_what_libraries_log_is_written_as_ours(logged: Logged):
    """uvicorn and aiohttp know nothing of our processors: they would print a traceback with a link in it."""
    with structlog.contextvars.bound_contextvars(support_code="OP-1"):
        log_of_a_library(f"it failed for {ANN.email}")

    text = logged()
    assert "OP-1" in text
    assert "uvicorn.error" in text
    assert "ValueError" in text
    assert ANN.email not in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("with eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2ln", "with [struck out]"),
        ("Bearer abc", "Bearer [struck out]"),
        ("at http://files.test/a?Signature=0123 now", "at [struck out] now"),
        ("https://files.test/a?X-Amz-Date=1", "[struck out]"),
        ("ann+1@example.test wrote", "[struck out] wrote"),
        ("https://files.test/a", "https://files.test/a"),
        ("a word @ a time, eyJ", "a word @ a time, eyJ"),
    ],
)
def test_each_kind_of_secret_is_found_alone(text: str, written: str):
    """Texts are only searched where one of a few words is in them: none may be missing among these words."""
    event = {
        "said": text,
        "problems": [text],
        "exception": [{"exc_value": text}],
        "api_key": "a",
        "status": 200,
    }

    assert strike_out_secrets(None, "info", event) == {
        "said": written,
        "problems": [written],
        "exception": [{"exc_value": written}],
        "api_key": "[struck out]",
        "status": 200,
    }


async def test_no_trace_is_emitted():
    """A span would be a second log, which nobody strikes secrets out of."""
    sandbox, settings = Sandbox(seed(5)), dev_settings()
    heard = listen(sandbox)
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with running(create_dev_app(sandbox, settings, seller=SELLERS[0]), sandbox, settings) as bff:
        await bff.ask("Dashboard", headers={"traceparent": traceparent})

    assert len(heard) > 5
    assert not any({"traceparent", "tracestate", "b3"} & request.headers.keys() for request in heard)
    assert not any(trace.get_tracer("bff").start_span("any").is_recording() for _ in heard)
