"""A loader asked for whole levels: which keys go into which batch, and whose error is whose."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

import pytest

from resolvers.loaders.batching import Loader


class Upstream:
    """Finds a key's square, fails for negative keys, and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_answer: list[asyncio.Event] = []  # one for each batch; those beyond answer at once

    async def __call__(self, keys: list[int]) -> list[int | Exception]:
        number = len(self.batches)
        self.batches.append(keys)
        if number < len(self.may_answer):
            await self.may_answer[number].wait()
        return [key * key if key >= 0 else ValueError(str(key)) for key in keys]


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def loader(upstream: Upstream) -> Loader[int, int]:
    return Loader(upstream)


@pytest.fixture(autouse=True)
async def within_reason():
    """Whoever is forgotten waits for ever."""
    async with asyncio.timeout(10):
        yield


async def turns(count: int = 10) -> None:
    """Let everything happen that can."""
    for _ in range(count):
        await asyncio.sleep(0)


def told(found: Sequence[Any]) -> list[Any]:
    """Values as they are, of errors what they say."""
    return [str(each) if isinstance(each, Exception) else each for each in found]


async def outcomes(*asked: Awaitable[Any]) -> list[Any]:
    """What each gets, or the class of what each is ended by."""
    found = await asyncio.gather(*asked, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else each for each in found]


async def test_levels_of_one_turn_are_one_batch(upstream, loader):
    """Each key once: an upstream that is asked twice for what three levels share pays for our bookkeeping."""
    asked = [loader.load_all([3, 1]), loader.load_all([1, 2, 3]), loader.load(2), loader.load_all([])]

    assert await asyncio.gather(*asked) == [[9, 1], [1, 4, 9], 4, []]
    assert upstream.batches == [[3, 1, 2]]


async def test_a_key_may_come_twice_in_a_level(upstream, loader):
    """Two findings of one claim: each has its place, and the claim is asked for once."""
    assert await loader.load_all([2, 5, 2, 2]) == [4, 25, 4, 4]
    assert upstream.batches == [[2, 5]]


async def test_nobody_is_asked_for_nothing(upstream, loader):
    """A level of objects that all lack the key must not cost a request."""
    assert await loader.load_all([]) == []
    assert upstream.batches == []


async def test_what_was_found_is_not_asked_for_again(upstream, loader):
    """The second level of an operation asks for what is new in it alone."""
    assert await loader.load_all([1, 2]) == [1, 4]
    assert await loader.load_all([2, 1, 2]) == [4, 1, 4]
    assert await loader.load_all([2, 3]) == [4, 9]
    assert await loader.load(3) == 9

    assert upstream.batches == [[1, 2], [3]]


async def test_a_failing_key_is_an_error_of_its_own(upstream, loader):
    """One broken claim costs itself: not the claims beside it, and not a second question."""
    assert told(await loader.load_all([1, -2, 3])) == [1, "-2", 9]
    assert told(await loader.load_all([-2, 1])) == ["-2", 1]
    with pytest.raises(ValueError, match="-2"):
        await loader.load(-2)
    assert told(await loader.load_all([-2, 4, -5])) == ["-2", 16, "-5"]

    assert upstream.batches == [[1, -2, 3], [4, -5]]


async def test_keys_on_their_way_are_waited_for_and_not_asked_again(upstream, loader):
    """A deeper level needs what an upper one has asked for already: it asks for the rest, and has both."""
    upstream.may_answer = [asyncio.Event(), asyncio.Event()]
    upper = loader.load_all([1, 2, -3])
    await turns()
    deeper = loader.load_all([2, 4, -3, 2])
    same = loader.load_all([1])
    await turns()
    assert upstream.batches == [[1, 2, -3], [4]]

    upstream.may_answer[1].set()
    await turns()
    assert not deeper.done()  # it has four, and waits for two

    upstream.may_answer[0].set()
    assert told(await upper) == [1, 4, "-3"]
    assert told(await deeper) == [4, 16, "-3", 4]
    assert await same == [1]
    assert upstream.batches == [[1, 2, -3], [4]]


async def test_the_later_batch_may_be_the_slower_one(upstream, loader):
    """Whoever asked first does not wait for what others asked for afterwards."""
    upstream.may_answer = [asyncio.Event(), asyncio.Event()]
    upper = loader.load_all([1])
    await turns()
    deeper = loader.load_all([1, 2])
    await turns()

    upstream.may_answer[0].set()
    assert await upper == [1]
    await turns()
    assert not deeper.done()
    upstream.may_answer[1].set()
    assert await deeper == [1, 4]


@pytest.mark.parametrize("first", [0, 1], ids=["the batch under way", "the batch of this turn"])
async def test_levels_of_one_turn_do_not_wait_for_each_others_batches(upstream, loader, first):
    """One is answered by what is under way already, one by what is asked now; either may hang."""
    upstream.may_answer = [asyncio.Event(), asyncio.Event()]
    under_way = loader.load_all([1])
    await turns()
    old, new, both = loader.load_all([1]), loader.load_all([2]), loader.load_all([1, 2])
    await turns()
    assert upstream.batches == [[1], [2]]

    upstream.may_answer[first].set()
    await turns()
    assert [each.done() for each in (under_way, old, new, both)] == (
        [True, True, False, False] if first == 0 else [False, False, True, False]
    )

    upstream.may_answer[1 - first].set()
    assert [await under_way, await old, await new, await both] == [[1], [1], [4], [1, 4]]


async def test_two_operations_share_nothing(upstream):
    """Loaders of two sellers: the same key is two questions, though both are under way at once."""
    other = Upstream()
    anns, bobs = Loader(upstream), Loader(other)
    anns.bring([(7, -1)])

    assert await asyncio.gather(anns.load_all([1, 7]), bobs.load_all([1, 7])) == [[1, -1], [1, 49]]
    assert (upstream.batches, other.batches) == ([[1]], [[1, 7]])


async def test_what_is_brought_saves_the_question(upstream, loader):
    """A page that holds whole claims must not be followed by a question for each of them."""
    loader.bring([(1, 100), (2, 200)])
    loader.bring([(2, 999), (3, 300)])  # what came first stays: an answer does not change within itself

    assert await loader.load_all([3, 2, 1]) == [300, 200, 100]
    assert await loader.load(1) == 100
    assert upstream.batches == []
    assert await loader.load_all([1, 4]) == [100, 16]
    assert upstream.batches == [[4]]


async def test_what_was_asked_for_is_not_changed_by_what_is_brought(upstream, loader):
    """Two places of one answer never show two versions of a claim."""
    assert told(await loader.load_all([2, -1])) == [4, "-1"]
    loader.bring([(2, 999), (-1, 999)])

    assert told(await loader.load_all([2, -1])) == [4, "-1"]
    assert upstream.batches == [[2, -1]]


async def test_what_is_brought_is_looked_at_when_somebody_loads(loader):
    """Most pages are shown without a field that needs it: they pay nothing for what nobody reads."""
    looked: list[str] = []

    def found() -> Iterator[tuple[int, int]]:
        looked.append("at it")
        yield 1, 100

    loader.bring(found())
    assert looked == []
    assert await loader.load_all([1]) == [100]
    assert await loader.load_all([1]) == [100]
    assert looked == ["at it"]


async def fails(keys: list[int]) -> list[int]:
    raise RuntimeError("all of it")


async def answers_too_few(keys: list[int]) -> list[int]:
    return keys[1:]


async def answers_too_many(keys: list[int]) -> list[int]:
    return [*keys, 0]


async def answers_nothing(keys: list[int]) -> Any:
    return None


@pytest.mark.parametrize("batch", [fails, answers_too_few, answers_too_many, answers_nothing])
async def test_a_batch_that_fails_is_the_error_of_each_key(batch):
    """A level is told at each object what happened; none waits, and the service is not asked again."""
    batches: list[list[int]] = []

    async def asked(keys: list[int]) -> Any:
        batches.append(keys)
        return await batch(keys)

    loader: Loader[int, int] = Loader(asked)
    first, second = await asyncio.gather(loader.load_all([1, 2]), loader.load_all([2, 3]))
    again = await loader.load_all([3, 1])

    assert len(set(map(id, [*first, *second, *again]))) == 1  # one error, told six times
    assert isinstance(first[0], Exception)
    with pytest.raises(type(first[0])):
        await loader.load(1)
    assert batches == [[1, 2, 3]]


async def leaves(keys: list[int]) -> list[Any]:
    raise asyncio.CancelledError


async def leaves_for_ones(keys: list[int]) -> list[Any]:
    return [asyncio.CancelledError() if key == 1 else key for key in keys]


async def test_a_client_that_left_ends_whoever_waits_for_its_keys_and_nobody_else():
    """Without it they would wait for ever; and a cancellation is never a value that somebody shows."""
    loader: Loader[int, Any] = Loader(leaves_for_ones)
    asked = [loader.load_all([2, 3]), loader.load_all([3, 1]), loader.load(1), loader.load(2)]

    gone = asyncio.CancelledError
    assert await outcomes(*asked) == [[2, 3], gone, gone, 2]
    assert await outcomes(loader.load_all([1]), loader.load_all([1, 9]), loader.load(1)) == [gone] * 3
    assert await outcomes(loader.load_all([2]), loader.load_all([9]), loader.load(3)) == [[2], [9], 3]


async def test_a_batch_that_a_client_left_ends_all_of_its_keys():
    """A later level is told the same, and does not ask again for somebody who is gone."""
    batches: list[list[int]] = []

    async def asked(keys: list[int]) -> list[Any]:
        batches.append(keys)
        return await leaves(keys)

    loader: Loader[int, Any] = Loader(asked)
    loader.bring([(5, 25)])
    gone = asyncio.CancelledError

    assert await outcomes(loader.load_all([1, 2]), loader.load(2), loader.load_all([5])) == [gone, gone, [25]]
    assert await outcomes(loader.load_all([2, 5]), loader.load(1), loader.load(5)) == [gone, gone, 25]
    assert batches == [[1, 2]]


async def test_who_waits_for_another_batch_is_told_that_its_client_left():
    """The keys were asked for by the level above: its end must reach the level below."""
    may_leave = asyncio.Event()
    batches: list[list[int]] = []

    async def asked(keys: list[int]) -> list[Any]:
        batches.append(keys)
        if 1 in keys:
            await may_leave.wait()
            raise asyncio.CancelledError
        return keys

    loader: Loader[int, Any] = Loader(asked)
    upper = loader.load_all([1])
    await turns()
    deeper, other = loader.load_all([1, 2]), loader.load_all([3])
    await turns()
    may_leave.set()

    assert await outcomes(upper, deeper, other) == [asyncio.CancelledError, asyncio.CancelledError, [3]]
    assert batches == [[1], [2, 3]]


@pytest.mark.parametrize("left", [0, 1])
async def test_one_who_gives_up_takes_nothing_from_the_others(upstream, loader, left):
    """A field that is cancelled while it waits must not cancel the same question of its neighbour."""
    upstream.may_answer = [asyncio.Event()]
    asked = [loader.load_all([1, 2]), loader.load_all([1, 2])]
    one = loader.load(2)
    await turns()
    asked[left].cancel()
    one.cancel()
    upstream.may_answer[0].set()

    assert await asked[1 - left] == [1, 4]
    assert await loader.load_all([2, 1]) == [4, 1]
    assert upstream.batches == [[1, 2]]
