"""What several processes of the tests share is made by one of them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from tests.helpers.projects import make_once


def at_once(make, folder, count=3):
    """Ask for the same thing so many times, at the same time."""
    begin = Barrier(count)

    def ask(_):
        begin.wait()
        return make_once(folder, make)

    with ThreadPoolExecutor(count) as pool:
        return [pool.submit(ask, number) for number in range(count)]


def make(calls, folder):
    calls.append(folder)
    folder.mkdir()
    return folder / "made here"


def test_it_is_made_once_and_all_find_it(tmp_path):
    calls = []
    asked = at_once(partial(make, calls), tmp_path / "it")
    assert [each.result() for each in asked] == [tmp_path / "it" / "made here"] * 3
    assert calls == [tmp_path / "it"]


def fail(calls, folder):
    calls.append(folder)
    raise AssertionError("the stage tune ended with 1")


def test_what_cannot_be_made_is_tried_once_and_everybody_is_told_why(tmp_path):
    calls = []
    asked = at_once(partial(fail, calls), tmp_path / "it")
    for each in asked:
        with pytest.raises((AssertionError, RuntimeError), match="the stage tune ended with 1"):
            each.result()
    assert len(calls) == 1
