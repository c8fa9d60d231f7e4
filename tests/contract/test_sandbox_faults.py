"""The knobs of the sandbox: each fault does what its word says, and the control app can turn them."""

import asyncio
import json
import socket
import time
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from io import BytesIO
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
import time_machine
from integration.processes import free_ports

from bff.sandbox.faults import Fault, Faults, parse, parse_words
from bff.sandbox.files import CSV, PDF, PNG, XLSX, content_of
from bff.sandbox.sandbox import DEV_SECRETS, SERVICES, Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.serve import serve

ANCHOR = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed(12, 2, ANCHOR))


async def health(sandbox: Sandbox, service: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=sandbox.apps[service])
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        return await client.get("/health")


async def control(sandbox: Sandbox, method: str, path: str, **more: object) -> httpx.Response:
    transport = httpx.ASGITransport(app=sandbox.control)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        return await client.request(method, path, **more)  # type: ignore[arg-type]


async def until_listening(port: int) -> None:
    """Wait for the last server to be there; it listens before it answers."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


@pytest.mark.parametrize(
    "word",
    [
        *("ok", "down", "slow:0", "slow:2000", "error", "error:0.25", "garbage", "hang", "rate-limited"),
        *("after:error", "after:hang", "after:down"),
    ],
)
def test_words_come_back_as_they_were_said(word: str):
    """What GET /faults shows must be what PUT /faults takes."""
    assert str(Fault.of(word)) == word
    assert parse(f"mcde={word}") == ("mcde", Fault.of(word))


@pytest.mark.parametrize(
    "word",
    [
        *("", "slow", "slow:", "slow:x", "slow:-1", "error:2", "error:x", "down:1", "dead"),
        *("after", "after:", "after:ok", "after:slow:20", "after:error:0.5", "error:after"),
    ],
)
def test_a_wrong_word_is_told_the_right_ones(word: str):
    """A drill with a typo must not run as a drill without a fault."""
    with pytest.raises(ValueError, match=r"Say one of: ok, down, slow:<ms>, error"):
        Fault.of(word)


def test_a_wrong_service_is_told_the_right_ones():
    """Same for the name before the equals sign, and for the equals sign."""
    with pytest.raises(ValueError, match=r"refund-engine, integrations, cost-docs, stripe, mcde, predictor"):
        parse("strype=down")
    with pytest.raises(ValueError, match=r"is not <service>=<fault>"):
        parse("stripe")


def test_several_words_in_one_text():
    """The command line takes them in one option."""
    assert parse_words("stripe=down, mcde=slow:20") == {
        "stripe": Fault.of("down"),
        "mcde": Fault.of("slow:20"),
    }
    assert parse_words(["stripe=down"]) == {"stripe": Fault.of("down")}
    assert parse_words("") == {}


def test_faults_can_be_set_listed_and_cleared():
    """Drills put faults on and take them off; what is left over would befall the next drill."""
    faults = Faults()
    faults["stripe"] = "slow:20"
    faults.set("mcde", "garbage")
    faults.down.add("cost-docs")

    assert list(faults.as_words().items()) == [
        ("refund-engine", "ok"),
        ("integrations", "ok"),
        ("cost-docs", "down"),
        ("stripe", "slow:20"),
        ("mcde", "garbage"),
        ("predictor", "ok"),
    ]
    assert set(faults.down) == {"cost-docs"}
    faults.down.discard("cost-docs")
    faults.down.discard("stripe")  # it is slow, not down: that stays
    assert (str(faults["cost-docs"]), str(faults["stripe"])) == ("ok", "slow:20")
    faults.clear()
    assert set(faults.as_words().values()) == {"ok"}


@pytest.mark.parametrize("service", SERVICES)
async def test_down_refuses_the_connection(sandbox: Sandbox, service: str):
    """A dead process gives no answer at all, and that is another branch than a bad one."""
    sandbox.down.add(service)

    with pytest.raises(ConnectionRefusedError, match=service):
        await health(sandbox, service)


async def test_slow_answers_later(sandbox: Sandbox):
    """Time budgets are tested with it."""
    sandbox.faults["stripe"] = "slow:80"
    started = time.perf_counter()

    answer = await health(sandbox, "stripe")

    assert answer.status_code == 200
    assert time.perf_counter() - started >= 0.08


@pytest.mark.parametrize("service", SERVICES)
async def test_error_is_each_ones_own_500(sandbox: Sandbox, service: str):
    """Clients read messages out of six shapes of error; none of them may be invented here."""
    sandbox.faults[service] = "error"

    answer = await health(sandbox, service)

    assert answer.status_code == 500
    assert set(answer.json()) in (
        {"error", "message"},
        {"success", "message"},
        {"success", "error"},
        {"error", "timestamp"},
        {"detail"},
    )


async def test_error_can_come_now_and_then(sandbox: Sandbox):
    """Retries and breakers are about services that fail sometimes; and a drill has to be repeatable."""
    sandbox.faults["predictor"] = "error:0.5"
    again = Sandbox(sandbox.world)
    again.faults["predictor"] = "error:0.5"

    seen = [(await health(sandbox, "predictor")).status_code for _ in range(20)]

    assert set(seen) == {200, 500}
    assert seen == [(await health(again, "predictor")).status_code for _ in range(20)]


async def test_garbage_is_wrong_in_three_ways(sandbox: Sandbox):
    """200 with a body that was not agreed: no JSON, half a JSON, somebody else's JSON."""
    sandbox.faults["mcde"] = "garbage"

    answers = [await health(sandbox, "mcde") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].headers["content-type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        answers[1].json()
    assert "status" not in answers[2].json()
    assert answers[3].text == answers[0].text


async def test_hang_never_answers(sandbox: Sandbox):
    """Redis away, a real service hangs for 15 seconds and more; only a budget of one's own ends that."""
    sandbox.faults["integrations"] = "hang"

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await health(sandbox, "integrations")


@pytest.mark.parametrize("service", SERVICES)
async def test_rate_limited_says_when_to_come_back(sandbox: Sandbox, service: str):
    """The BFF honours Retry-After and never retries inside; it needs one to honour."""
    sandbox.faults[service] = "rate-limited"

    answer = await health(sandbox, service)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 900
    limited = [value for name, value in answer.headers.items() if name.endswith("ratelimit-remaining")]
    assert limited == ([] if service in ("mcde", "predictor") else ["0"])


async def start_sync(sandbox: Sandbox) -> httpx.Response:
    token = jwt.encode({"id": SELLERS[0].user_id}, DEV_SECRETS["integrations"], "HS256")
    transport = httpx.ASGITransport(app=sandbox.apps["integrations"])
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        client.headers["authorization"] = f"Bearer {token}"
        return await client.post("/api/v1/integrations/sync/start", json={"syncType": "inventory"})


async def test_after_error_has_done_the_work(sandbox: Sandbox):
    """A 500 does not mean "not done"; who repeats a write after one does it twice."""
    sandbox.faults["integrations"] = "after:error"

    answer = await start_sync(sandbox)

    assert (answer.status_code, answer.json()["success"]) == (500, False)
    assert [write.operation for write in sandbox.writes] == ["startSync"]


async def test_after_hang_has_done_the_work(sandbox: Sandbox):
    """Redis away, stripe writes the row and then never answers: the time-out this imitates was captured."""
    sandbox.faults["integrations"] = "after:hang"

    starting = asyncio.create_task(start_sync(sandbox))
    while not sandbox.writes:  # noqa: ASYNC110 - the sandbox tells nobody
        await asyncio.sleep(0.001)
    answered, _ = await asyncio.wait([starting], timeout=0.05)
    starting.cancel()

    assert not answered
    assert [write.operation for write in sandbox.writes] == ["startSync"]


async def test_after_down_has_done_the_work(sandbox: Sandbox):
    """Reset is not refused: after a refusal nothing was done, after a reset everything may have been."""
    sandbox.faults["integrations"] = "after:down"

    with pytest.raises(ConnectionResetError, match="integrations"):
        await start_sync(sandbox)

    assert [write.operation for write in sandbox.writes] == ["startSync"]
    assert "integrations" not in sandbox.down


async def test_after_does_not_soften_what_the_service_refused(sandbox: Sandbox):
    """The work that was done may be none: the book of writes, not the fault, says what there was to do."""
    sandbox.faults["integrations"] = "after:error"

    answer = await health(sandbox, "integrations")

    assert answer.status_code == 500
    assert sandbox.writes == []


async def test_mcde_waits_for_a_refund_engine_that_is_ill(sandbox: Sandbox):
    """A slow neighbour makes mcde's probe slow, and a budget that is too short would call mcde dead."""
    sandbox.faults["refund-engine"] = "slow:60"
    started = time.perf_counter()

    answer = await health(sandbox, "mcde")

    assert time.perf_counter() - started >= 0.06
    assert answer.json()["dependencies"] == {"refund_engine": "healthy"}


async def test_control_shows_and_turns_the_knobs(sandbox: Sandbox):
    """The dashboard's fault panel and the drills of the command line speak only to this."""
    changed = await control(sandbox, "PUT", "/faults", json={"stripe": "down", "mcde": "slow:20"})
    changed_again = await control(sandbox, "PUT", "/faults", json={"stripe": "ok"})

    assert changed.json() == (await control(sandbox, "GET", "/faults")).json() | {"stripe": "down"}
    assert changed_again.json()["mcde"] == "slow:20"
    assert sandbox.faults.as_words() == changed_again.json()


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('{"mcde": "slow:1", "stripe": "dead"}', "rate-limited"),
        ('{"mcde": "slow:1", "strype": "down"}', "predictor"),
        ('{"mcde": 5}', "rate-limited"),
        ('["mcde"]', "JSON object"),
        ("{bad", ""),
    ],
)
async def test_control_refuses_as_a_whole(sandbox: Sandbox, body: str, hint: str):
    """Half a change is a drill nobody asked for."""
    answer = await control(sandbox, "PUT", "/faults", content=body)

    assert answer.status_code == 400
    assert hint in answer.json()["error"]
    assert set(sandbox.faults.as_words().values()) == {"ok"}


async def test_links_lead_to_real_files(sandbox: Sandbox):
    """A download button is tested by opening what it opens."""
    for document in sandbox.world.documents.values():
        link = urlsplit(sandbox._files.link(document["fileKey"], 60))
        answer = await control(sandbox, "GET", f"{link.path}?{link.query}")

        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == document["fileType"]
        assert len(answer.content) == document["fileSize"]


async def test_links_are_checked(sandbox: Sandbox):
    """A signed link is the only lock on a seller's invoice: altered, borrowed or old, it must not open."""
    first, second, *_ = (document["fileKey"] for document in sandbox.world.documents.values())
    link = urlsplit(sandbox._files.link(first, 60))
    stranger = urlsplit(
        Sandbox(sandbox.world, secrets=dict.fromkeys(SERVICES, "y" * 40))._files.link(first, 60)
    )

    refused = [
        await control(sandbox, "GET", link.path),
        await control(sandbox, "GET", f"/files/{second}?{link.query}"),
        await control(sandbox, "GET", f"{link.path}?{link.query.replace('Expires=1', 'Expires=2')}"),
        await control(sandbox, "GET", f"{stranger.path}?{stranger.query}"),
    ]
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=61), tick=False):
        refused.append(await control(sandbox, "GET", f"{link.path}?{link.query}"))

    assert [answer.status_code for answer in refused] == [403] * 5
    assert "Request has expired" in refused[4].text


def test_files_are_what_their_type_says(sandbox: Sandbox):
    """A viewer that chokes on a broken file would be debugged for hours in the wrong place."""
    made = {row["fileType"]: content_of(row) for row in seed(60, anchor=ANCHOR).documents.values()}

    pdf = made[PDF]
    xref = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf[xref:].startswith(b"xref\n0 7")
    for number, entry in enumerate(pdf[xref:].split(b"\n")[3:9], 1):
        assert pdf[int(entry[:10]) :].startswith(b"%d 0 obj" % number)

    png = made[PNG]
    start = png.index(b"IDAT") + 4
    length = int.from_bytes(png[start - 8 : start - 4], "big")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(zlib.decompress(png[start : start + length])) == 96 * (1 + 3 * 96)

    assert made[CSV].decode().splitlines()[0] == "field,value"
    with zipfile.ZipFile(BytesIO(made[XLSX])) as archive:
        assert archive.testzip() is None
        assert "xl/worksheets/sheet1.xml" in archive.namelist()


async def test_served_on_ports(sandbox: Sandbox):
    """The old screens and curl need sockets; there, a service that is down hangs up without a word."""
    *ports, control_port = free_ports(7)
    of_service = dict(zip(SERVICES, ports, strict=True))
    serving = asyncio.create_task(serve(sandbox, ports=of_service, control_port=control_port))
    async with httpx.AsyncClient(timeout=5) as client:
        await until_listening(control_port)
        answers = [await client.get(f"http://127.0.0.1:{port}/health") for port in of_service.values()]
        faults = await client.put(f"http://127.0.0.1:{control_port}/faults", json={"stripe": "down"})
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(f"http://127.0.0.1:{of_service['stripe']}/health")
        await client.put(f"http://127.0.0.1:{control_port}/faults", json={"stripe": "after:down"})
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(f"http://127.0.0.1:{of_service['stripe']}/health")
        await client.put(f"http://127.0.0.1:{control_port}/faults", json={"stripe": "ok"})
        answers.append(await client.get(f"http://127.0.0.1:{of_service['stripe']}/health"))
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert [answer.status_code for answer in answers] == [200] * 7
    assert len(sandbox.calls_of("stripe")) == 3  # none while it was down
    assert faults.json()["stripe"] == "down"
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", control_port)


async def test_serving_says_when_a_port_is_taken(sandbox: Sandbox):
    """The usual mishap at a start; the process must say so and not just vanish."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match=r"[Aa]ddress already in use"),
    ):
        await serve(sandbox, ports=dict.fromkeys(SERVICES, 0), control_port=taken.getsockname()[1])
