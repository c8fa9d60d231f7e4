"""Listeners and polls: what a slow stream skips, what many listeners share, when asking begins and ends."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

import pytest
from bff_under_test import Bff
from late import WITHIN_S

from bff.sandbox.seed import SELLERS
from bff.telemetry import configure_logging
from clients.caller import Viewer
from clients.errors import UpstreamUnavailable
from clients.quota import Quota
from resolvers.watching.listener import Listener
from resolvers.watching.poll import SHARED_FOR_S, NothingThere, Poll
from resolvers.watching.watchers import QuotaPace

ANN = Viewer("5e11e200-0a00-4000-8000-000000000001", None, None, None, frozenset(), None)  # type: ignore[arg-type]


def differs(before: str, now: str) -> bool:
    return before != now


def listener(*keys: str, skipped: list[None] | None = None) -> Listener[str]:
    skips = [] if skipped is None else skipped
    return Listener(keys, moved=differs, on_skipped=lambda: skips.append(None))


async def test_a_slow_stream_skips_to_the_newest_state_and_leaves_a_gap():
    """A queue per listener would grow for as long as a phone sleeps; a gap tells it to subscribe again."""
    skipped: list[None] = []
    slow = listener("a", skipped=skipped)
    slow.offer("a", "one")
    first = await slow.next()

    for state in ("two", "three", "four"):
        slow.offer("a", state)
    last = await slow.next()

    assert (first.sequence, first.state, first.before) == (1, "one", None)
    assert (last.sequence, last.state, last.before) == (4, "four", "one")
    assert len(skipped) == 2


async def test_a_snapshot_that_has_not_left_stays_the_snapshot():
    """Without it a stream would begin with a gap, and its client would subscribe again for nothing."""
    skipped: list[None] = []
    slow = listener("a", "b", skipped=skipped)
    slow.offer("a", "one")
    slow.offer("b", "one")

    slow.offer("a", "two")
    told = [await slow.next(), await slow.next()]

    assert [(each.sequence, each.state, each.before) for each in told] == [(1, "two", None), (2, "one", None)]
    assert skipped == []


async def test_nothing_new_is_no_event():
    """An event that changes nothing makes every screen render for nothing."""
    told = listener("a")
    told.offer("a", "one")
    await told.next()

    assert not told.offer("a", "one")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await told.next()


async def turns_of_the_loop() -> None:
    """Long enough for a round: nothing in it waits for a clock."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Owner:
    """A service as a poll's reader sees it."""

    states: dict[str, str]
    rounds: list[tuple[list[str], list[str]]] = field(default_factory=list)
    error: Exception | None = None
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    pause: float = 600.0
    scarce: bool = False
    changes: list[str] = field(default_factory=list)
    idle: int = 0

    async def __call__(
        self, viewer: Viewer, known: Collection[str], new: Collection[str]
    ) -> Mapping[str, str | BaseException | None]:
        self.rounds.append((list(known), list(new)))
        error, states = self.error, dict(self.states)
        await asyncio.sleep(0)
        if error:
            raise error
        return states

    def pause_s(self) -> float:
        return self.pause

    def spared(self) -> bool:
        return self.scarce

    def went_idle(self) -> None:
        self.idle += 1


@pytest.fixture
async def owner() -> Owner:
    return Owner({"a": "one", "b": "one"})


@pytest.fixture
async def poll(owner: Owner) -> AsyncIterator[Poll[str]]:
    made = Poll[str](
        owner, owner, on_change=lambda key, _: owner.changes.append(key), on_idle=owner.went_idle
    )
    yield made
    made.stop()


async def test_many_listeners_cost_what_one_costs(owner, poll, monkeypatch):
    """A hundred tabs of one seller must not ask a hundred times: the quota is 100 in 15 minutes."""
    monkeypatch.setattr("resolvers.watching.poll.SHARED_FOR_S", WITHIN_S)
    first = listener("a")
    await poll.join(ANN, first)
    assert len(owner.rounds) == 1

    others = [listener("a") for _ in range(50)]
    await asyncio.gather(*(poll.join(ANN, each) for each in others))
    assert len(owner.rounds) == 1  # what is known is of this moment
    await asyncio.gather(*(each.next() for each in [first, *others]))

    owner.states["a"] = "two"
    poll.wake()
    told = await asyncio.gather(*(each.next() for each in [first, *others]))

    assert {(each.sequence, each.state, each.before) for each in told} == {(2, "two", "one")}
    assert len(owner.rounds) == 2


async def test_listeners_that_come_together_share_their_first_round(owner, poll):
    """After a restart everybody comes back at once."""
    together = [listener("a", "b") for _ in range(50)]

    await asyncio.gather(*(poll.join(ANN, each) for each in together))

    assert len(owner.rounds) == 1
    assert [(await each.next()).state for each in together] == ["one"] * 50


async def test_a_snapshot_is_not_older_than_the_query_before_it(owner, poll):
    """A screen asks, then subscribes: a snapshot of a minute ago would set its cache back."""
    first = listener("a")
    await poll.join(ANN, first)
    await first.next()
    await asyncio.sleep(SHARED_FOR_S + 0.1)

    owner.states["a"] = "two"
    together = [listener("a") for _ in range(50)]
    await asyncio.gather(*(poll.join(ANN, each) for each in together))

    assert {(await each.next()).state for each in [first, *together]} == {"two"}
    assert len(owner.rounds) == 2


async def test_what_is_new_is_read_with_what_is_known(owner, poll):
    """A second list on screen must not begin a second poll."""
    await poll.join(ANN, listener("a"))

    await poll.join(ANN, listener("b"))

    assert owner.rounds == [([], ["a"]), (["a"], ["b"])]


async def test_an_object_that_is_not_there_is_said_to_its_listener_only(owner, poll):
    """One wrong id must not end the streams of others."""
    right = listener("a")
    outcomes = await asyncio.gather(
        poll.join(ANN, right), poll.join(ANN, listener("nobody's")), return_exceptions=True
    )

    assert outcomes[0] is None
    assert isinstance(outcomes[1], NothingThere)
    owner.states["a"] = "two"
    poll.wake()
    assert [(await right.next()).state, (await right.next()).state] == ["one", "two"]


async def test_a_failed_first_round_is_told_and_a_later_one_is_not(owner, poll):
    """A snapshot that nobody has is an error; afterwards silence is what an outage looks like."""
    owner.error = UpstreamUnavailable("refund-engine", "listClaims")
    with pytest.raises(UpstreamUnavailable):
        await poll.join(ANN, listener("a"))

    owner.error = None
    stays = listener("a")
    again = Poll[str](owner, owner, on_change=lambda *_: None, on_idle=lambda: None)
    await again.join(ANN, stays)
    await stays.next()
    owner.error = UpstreamUnavailable("refund-engine", "listClaims")
    again.wake()
    await turns_of_the_loop()
    owner.error, owner.states["a"] = None, "two"
    again.wake()

    told = await stays.next()
    assert (told.sequence, told.state) == (2, "two")
    again.stop()


async def test_a_broken_reader_does_not_end_the_poll(owner, poll, capsys):
    """A bug in one round must not silence every screen until the next deployment."""
    configure_logging(readable=False)
    stays = listener("a")
    await poll.join(ANN, stays)
    await stays.next()

    owner.error = ZeroDivisionError("ours")
    poll.wake()
    await turns_of_the_loop()
    owner.error, owner.states["a"] = None, "two"
    poll.wake()

    assert (await stays.next()).state == "two"
    assert "watch.broken" in capsys.readouterr().out


async def test_asking_ends_with_the_last_listener(owner, poll):
    """A poll that outlives its listeners eats the quota of those who are there."""
    owner.pause = 0.01
    first, second = listener("a"), listener("a")
    await poll.join(ANN, first)
    await poll.join(ANN, second)
    poll.leave(first)
    before = len(owner.rounds)
    async with asyncio.timeout(WITHIN_S):
        while len(owner.rounds) == before:  # noqa: ASYNC110 - a poll tells nobody
            await asyncio.sleep(0.005)

    poll.leave(second)
    poll.leave(second)  # twice is once
    left = len(owner.rounds)
    await asyncio.sleep(0.05)

    assert len(owner.rounds) == left
    assert owner.idle == 1


async def test_a_listener_that_gives_up_waiting_leaves_nothing(owner, poll):
    """A client that is gone before its snapshot must not keep a poll alive."""
    owner.states = {}
    joining = asyncio.create_task(poll.join(ANN, listener("a")))
    await asyncio.sleep(0)
    joining.cancel()
    await asyncio.wait([joining])

    assert joining.cancelled()
    assert owner.idle == 1


async def test_with_little_quota_left_only_rounds_that_somebody_waits_for_are_run(owner, poll):
    """What is left of a quota is for screens that are being opened, and for one's own changes."""
    owner.pause, owner.scarce = 0.01, True
    stays = listener("a")
    await poll.join(ANN, stays)
    await asyncio.sleep(0.06)
    assert len(owner.rounds) == 1

    poll.wake()
    await turns_of_the_loop()
    assert len(owner.rounds) == 2


@pytest.mark.parametrize(
    ("remaining", "pause_s", "spared"),
    [
        (None, 15, False),  # no header came yet
        (100, 15, False),
        (50, 30, False),
        (20, 75, False),
        (19, 75, True),  # no slower than that: whoever is told of a change looks at once, anyway
        (0, 75, True),
    ],
)
def test_a_poll_slows_down_as_its_quota_shrinks(remaining: int | None, pause_s: float, spared: bool):
    """All sellers share a hundred requests: a poll at full pace would take the last ones from screens."""
    quota = Quota()
    if remaining is not None:
        quota.observe(quota_headers(remaining))
    pace = QuotaPace(15, lambda: quota)

    pauses_s = [pace.pause_s() for _ in range(200)]

    assert pace.spared() is spared
    assert pause_s * 0.9 <= min(pauses_s)
    assert max(pauses_s) <= pause_s * 1.1
    assert max(pauses_s) - min(pauses_s) > pause_s * 0.1  # else all replicas would ask in step


def test_a_poll_is_quick_again_when_the_window_has_passed():
    """A poll that stayed slow would be late for the rest of the day."""
    quota = Quota()
    pace = QuotaPace(15, lambda: quota)
    quota.observe(quota_headers(1))
    assert pace.spared()

    quota.observe(quota_headers(1, resets_in_s=0))

    assert not pace.spared()
    assert pace.pause_s() <= 15 * 1.1


def quota_headers(remaining: int, *, resets_in_s: int = 900) -> dict[str, str]:
    return {
        "ratelimit-limit": "100",
        "ratelimit-remaining": str(remaining),
        "ratelimit-reset": str(resets_in_s),
    }


async def test_who_was_told_does_not_tell(owner, poll):
    """Two replicas that tell each other what they read would ask for ever."""
    stays = listener("a")
    await poll.join(ANN, stays)
    owner.states["a"] = "two"
    poll.told(seen_at_s=9e12)
    await turns_of_the_loop()
    assert owner.changes == []

    owner.states["a"] = "three"
    await poll.join(ANN, listener("a", "b"))  # has a round run that nobody was told of
    assert owner.changes == ["a"]

    rounds = len(owner.rounds)
    poll.told(seen_at_s=1.0)  # long before the latest round
    await turns_of_the_loop()
    assert len(owner.rounds) == rounds


async def test_a_subscription_over_plain_http_names_the_transports(bff: Bff):
    """Strawberry would run it as a query and say "Cannot return null for non-nullable field"."""
    answer = await bff.ask("ServiceHealthChanged", seller=SELLERS[0])

    assert answer.status == 400
    [error] = answer.errors
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    for transport in ("graphql-transport-ws", "text/event-stream", "multipart/mixed"):
        assert transport in error["message"]
