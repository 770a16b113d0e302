import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from glioseg.serving.request_queue import RequestQueue
from glioseg.serving.schemas import RequestError


@pytest.fixture
def queue():
    queue = RequestQueue(capacity=2, timeout_s=60)
    yield queue
    queue.close()


def finish(work):
    """Run a coroutine in a thread: the browser of other tests has an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def forever():
    await asyncio.Event().wait()


async def enter(queue, name, work, disconnected=None):
    async with queue.slot(name) as slot:
        return await queue.run(slot, work, disconnected=disconnected or forever())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_work_runs_one_at_a_time_in_order(queue):
    done = []

    async def run():
        queue.capacity = 8
        await asyncio.gather(*[enter(queue, str(i), lambda i=i: done.append(i)) for i in range(8)])

    finish(run())
    assert done == list(range(8))
    assert len(queue) == 0
    assert queue.mean_s >= 0


def test_a_full_queue_rejects_with_retry_after(queue):
    go = threading.Event()

    async def run():
        queue._recent_s.extend([2.0, 3.5])  # a mean of 2.75 s: retry after 3 s
        both = [asyncio.create_task(enter(queue, name, go.wait)) for name in ("a", "b")]
        await until(lambda: len(queue) == 2)
        with pytest.raises(RequestError) as refused:
            await enter(queue, "c", go.wait)
        assert (refused.value.status, refused.value.retry_after_s) == (503, 3)
        assert [queue.ahead(name) for name in ("a", "b", "c")] == [0, 1, None]
        go.set()
        await asyncio.gather(*both)
        await enter(queue, "c", lambda: None)

    finish(run())


def test_requests_with_one_id_take_one_slot_each(queue):
    """40 requests for three slots: three are processed, and 37 are rejected."""
    go, name, done = threading.Event(), "a" * 32, []

    async def run():
        queue.capacity = 3
        tasks = [
            asyncio.create_task(enter(queue, name, lambda: go.wait() and done.append(1))) for _ in range(40)
        ]
        await until(lambda: sum(task.done() for task in tasks) == 37)
        assert len(queue) == 3
        assert queue.ahead(name) == 0
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    ended = finish(run())
    refused = [error for error in ended if isinstance(error, RequestError)]
    assert [(error.status, error.code) for error in refused] == [(503, "busy")] * 37
    assert (ended.count(None), len(done)) == (3, 3)
    assert len(queue) == 0
    assert queue.ahead(name) is None


def test_the_position_is_that_of_the_first_request_with_an_id(queue):
    go = threading.Event()

    async def run():
        queue.capacity = 4
        names = ["other", "same", "same", "third"]
        tasks = []
        for count, name in enumerate(names, 1):
            tasks.append(asyncio.create_task(enter(queue, name, go.wait)))
            await until(lambda count=count: sum(bool(slot.job) for slot in queue._slots) == count)
        assert [queue.ahead(name) for name in ("other", "same", "third")] == [0, 1, 3]
        go.set()
        await asyncio.gather(*tasks)

    finish(run())


def test_work_that_has_not_started_before_the_timeout_is_cancelled(queue):
    go, done = threading.Event(), []

    async def run():
        first = asyncio.create_task(enter(queue, "first", go.wait))
        await until(lambda: queue.ahead("first") == 0)
        queue.timeout_s = 0.02
        with pytest.raises(RequestError, match=r"no response within 0\.02 s") as refused:
            await enter(queue, "late", lambda: done.append("late"))
        assert refused.value.status == 504
        assert len(queue) == 1
        go.set()
        await first

    finish(run())
    assert done == []


def test_running_work_keeps_its_slot_after_the_timeout(queue):
    go = threading.Event()
    queue.timeout_s = 0.02

    async def run():
        with pytest.raises(RequestError) as refused:
            await enter(queue, "slow", go.wait)
        assert refused.value.status == 504
        assert len(queue) == 1
        go.set()
        await until(lambda: len(queue) == 0)

    finish(run())


def test_work_of_a_disconnected_client_is_cancelled(queue):
    go, done = threading.Event(), []

    async def run():
        first = asyncio.create_task(enter(queue, "first", go.wait))
        await until(lambda: queue.ahead("first") == 0)
        with pytest.raises(RequestError) as refused:
            await enter(queue, "gone", lambda: done.append("gone"), disconnected=asyncio.sleep(0))
        assert refused.value.status == 499
        assert len(queue) == 1
        go.set()
        await first

    finish(run())
    assert done == []


def test_an_upload_that_times_out_frees_its_slot(queue):
    async def run():
        queue.timeout_s = 0.02
        with pytest.raises(RequestError) as refused:
            async with queue.slot("upload"):
                await forever()
        assert refused.value.status == 504
        assert len(queue) == 0

    finish(run())


def test_a_closed_queue_rejects_requests_and_completes_running_ones(queue):
    go = threading.Event()

    async def run():
        inside = asyncio.create_task(enter(queue, "inside", lambda: go.wait() and "done"))
        await until(lambda: len(queue) == 1)
        queue.closed = True
        with pytest.raises(RequestError) as refused:
            await enter(queue, "late", go.wait)
        assert (refused.value.status, refused.value.code) == (503, "stopping")
        go.set()
        assert await inside == "done"

    finish(run())


def test_an_error_in_the_work_is_raised_by_run(queue):
    async def run():
        with pytest.raises(ZeroDivisionError):
            await enter(queue, "bad", lambda: 1 / 0)
        assert len(queue) == 0

    finish(run())
