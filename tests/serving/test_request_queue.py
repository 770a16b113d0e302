import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from glioseg.serving.errors import RequestError
from glioseg.serving.request_queue import Line


@pytest.fixture
def line():
    line = Line(places=2, limit_s=60)
    yield line
    line.close()


def finish(work):
    """Run to its end, in a thread: an open browser of other tests has an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def forever():
    await asyncio.Event().wait()


async def enter(line, name, work, gone=None):
    async with line.place(name) as place:
        return await line.work(place, work, gone=gone or forever())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_work_is_done_one_at_a_time_in_its_order(line):
    done = []

    async def run():
        line.places = 8
        await asyncio.gather(*[enter(line, str(i), lambda i=i: done.append(i)) for i in range(8)])

    finish(run())
    assert done == list(range(8))
    assert len(line) == 0
    assert line.typical_s >= 0


def test_past_its_places_it_refuses_and_says_when_to_come_again(line):
    go = threading.Event()

    async def run():
        line._recent_s.extend([2.0, 3.5])  # a mean of 2.75 s: come again after 3
        both = [asyncio.create_task(enter(line, name, go.wait)) for name in ("a", "b")]
        await until(lambda: len(line) == 2)
        with pytest.raises(RequestError) as refused:
            await enter(line, "c", go.wait)
        assert (refused.value.status, refused.value.retry_after_s) == (503, 3)
        assert [line.ahead(name) for name in ("a", "b", "c")] == [0, 1, None]
        go.set()
        await asyncio.gather(*both)
        await enter(line, "c", lambda: None)

    finish(run())


def test_requests_of_one_name_have_a_place_each(line):
    """40 at once with three places: three are worked for, and 37 refused."""
    go, name, done = threading.Event(), "a" * 32, []

    async def run():
        line.places = 3
        asked = [
            asyncio.create_task(enter(line, name, lambda: go.wait() and done.append(1))) for _ in range(40)
        ]
        await until(lambda: sum(task.done() for task in asked) == 37)
        assert len(line) == 3
        assert line.ahead(name) == 0
        go.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    ended = finish(run())
    refused = [error for error in ended if isinstance(error, RequestError)]
    assert [(error.status, error.code) for error in refused] == [(503, "busy")] * 37
    assert (ended.count(None), len(done)) == (3, 3)
    assert len(line) == 0
    assert line.ahead(name) is None


def test_of_one_name_the_first_s_turn_is_told(line):
    go = threading.Event()

    async def run():
        line.places = 4
        names = ["other", "same", "same", "third"]
        asked = []
        for count, name in enumerate(names, 1):
            asked.append(asyncio.create_task(enter(line, name, go.wait)))
            await until(lambda count=count: sum(bool(place.job) for place in line._taken) == count)
        assert [line.ahead(name) for name in ("other", "same", "third")] == [0, 1, 3]
        go.set()
        await asyncio.gather(*asked)

    finish(run())


def test_what_has_not_begun_by_its_time_limit_is_dropped(line):
    go, done = threading.Event(), []

    async def run():
        first = asyncio.create_task(enter(line, "first", go.wait))
        await until(lambda: line.ahead("first") == 0)
        line.limit_s = 0.02
        with pytest.raises(RequestError, match=r"no answer within 0\.02 s") as refused:
            await enter(line, "late", lambda: done.append("late"))
        assert refused.value.status == 504
        assert len(line) == 1
        go.set()
        await first

    finish(run())
    assert done == []


def test_what_has_begun_holds_its_place_until_it_ends(line):
    go = threading.Event()
    line.limit_s = 0.02

    async def run():
        with pytest.raises(RequestError) as refused:
            await enter(line, "slow", go.wait)
        assert refused.value.status == 504
        assert len(line) == 1
        go.set()
        await until(lambda: len(line) == 0)

    finish(run())


def test_work_for_a_client_who_has_gone_is_dropped(line):
    go, done = threading.Event(), []

    async def run():
        first = asyncio.create_task(enter(line, "first", go.wait))
        await until(lambda: line.ahead("first") == 0)
        with pytest.raises(RequestError) as refused:
            await enter(line, "gone", lambda: done.append("gone"), gone=asyncio.sleep(0))
        assert refused.value.status == 499
        assert len(line) == 1
        go.set()
        await first

    finish(run())
    assert done == []


def test_a_place_whose_files_never_arrive_is_given_back(line):
    async def run():
        line.limit_s = 0.02
        with pytest.raises(RequestError) as refused:
            async with line.place("upload"):
                await forever()
        assert refused.value.status == 504
        assert len(line) == 0

    finish(run())


def test_a_closed_line_lets_nobody_in_and_finishes_what_is_there(line):
    go = threading.Event()

    async def run():
        inside = asyncio.create_task(enter(line, "inside", lambda: go.wait() and "done"))
        await until(lambda: len(line) == 1)
        line.closed = True
        with pytest.raises(RequestError) as refused:
            await enter(line, "late", go.wait)
        assert (refused.value.status, refused.value.code) == (503, "stopping")
        go.set()
        assert await inside == "done"

    finish(run())


def test_an_error_of_the_work_is_the_caller_s(line):
    async def run():
        with pytest.raises(ZeroDivisionError):
            await enter(line, "bad", lambda: 1 / 0)
        assert len(line) == 0

    finish(run())
