"""Waiting for a condition, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

TIMEOUT_S = 600.0
"""Ends tests that hang; far longer than any wait on a slow and busy machine."""
Value = TypeVar("Value")


def until(condition: Callable[[], Value], what: str, *, every_s: float = 0.05) -> Value:
    """Wait until a function returns a true value, and return it.

    Args:
        condition: called repeatedly.
        what: name of the condition in the error message.
        every_s: pause between two calls.
    """
    end = time.monotonic() + TIMEOUT_S
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not met after {TIMEOUT_S:.0f} s"
        time.sleep(every_s)
    return value
