"""How long tests wait for what must happen."""

import time
from collections.abc import Callable
from typing import TypeVar

LATEST_S = 600.0
"""Ends what hangs, and measures nothing: far more than anything takes on a slow and busy machine."""
Found = TypeVar("Found")


def until(happened: Callable[[], Found], what: str, *, every_s: float = 0.05) -> Found:
    """Wait until a function returns something true, and return that.

    Args:
        happened: called again and again.
        what: named if it does not happen.
        every_s: pause between two calls.
    """
    end = time.monotonic() + LATEST_S
    while not (found := happened()):
        assert time.monotonic() < end, f"{what}: not there after {LATEST_S:.0f} s"
        time.sleep(every_s)
    return found
