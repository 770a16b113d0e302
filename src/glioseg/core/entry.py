"""Start and end of every command and stage: Windows is rejected, and Ctrl-C ends the process with one line.

This module imports only the standard library, so that both work while the rest is still being imported.
"""

import atexit
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED_EXIT_CODE = 130
"""Exit code of a process that Ctrl-C ended, as shells report it: 128 + SIGINT."""
RESEND_S = 0.01
"""Seconds until Ctrl-C is sent again after Python ignored it."""
WSL_URL = "https://learn.microsoft.com/windows/wsl/install"

_interrupted = False
"""Whether this process has received Ctrl-C."""


def require_unix() -> None:
    """End the process on Windows, which lacks the file locks and signals of Unix."""
    if sys.platform == "win32":
        sys.exit(f"glioseg runs on Linux and macOS; on Windows use WSL: {WSL_URL}")


def handle_interrupts() -> None:
    """Record Ctrl-C for `was_interrupted` from now on; a process that ignores Ctrl-C keeps ignoring it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _record_interrupt)
        sys.unraisablehook = _resend_interrupt


def _record_interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    logging.disable()  # libraries log what the interrupt breaks off, such as a cursor that cannot be closed
    raise KeyboardInterrupt


def _resend_interrupt(unraisable: "UnraisableHookArgs") -> None:
    """Send Ctrl-C again: Python prints and ignores one that arrives in a destructor or a weakref callback."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    timer = threading.Timer(RESEND_S, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C caused an error: compiled modules turn KeyboardInterrupt into errors of their own."""
    return _interrupted or isinstance(error, KeyboardInterrupt)


class InterruptedExit(SystemExit):
    """Exit after Ctrl-C, raised once the message of the command has been printed."""


def print_interrupted(command: str, error: BaseException) -> None:
    """Print the one-line message of a command or a stage that Ctrl-C ended.

    Args:
        command: the command or stage; the line begins with it.
        error: what Ctrl-C raised; the message of a KeyboardInterrupt replaces "stopped".
    """
    message = str(error) if isinstance(error, KeyboardInterrupt) else ""
    print(f"{command}: {message or 'stopped'}", file=sys.stderr)


def exit_interrupted() -> NoReturn:
    """End the process after Ctrl-C without waiting for its threads.

    A normal exit waits for them, and Python returns another exit code after an interrupt in `exec`.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C also ends the exit handlers
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(INTERRUPTED_EXIT_CODE)
