"""What every command and stage does first and last: refuse Windows, and end by Ctrl-C with one line.

It imports the standard library alone, so that both hold while everything else is still being imported.
"""

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED = 130
"""Exit code of what Ctrl-C ended, as shells report it: 128 + SIGINT."""
AGAIN_S = 0.01
"""Seconds after which Ctrl-C is sent again where Python ignored it."""
WSL = "https://learn.microsoft.com/windows/wsl/install"

_came = False
"""Whether Ctrl-C came."""


def require_unix() -> None:
    """End the process where the file locks and signals of Unix are missing."""
    if sys.platform == "win32":
        sys.exit(f"glioseg runs on Linux and macOS; on Windows use WSL: {WSL}")


def note_interrupts() -> None:
    """Let `interrupted` know of Ctrl-C from now on; a process that ignores it goes on doing so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)
        sys.unraisablehook = _send_again


def _note(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    raise KeyboardInterrupt


def _send_again(unraisable: "UnraisableHookArgs") -> None:
    """Send Ctrl-C again: raised in a destructor or a weakref callback, Python prints it and ignores it."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


def interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: compiled modules turn KeyboardInterrupt into errors of their own."""
    return _came or isinstance(error, KeyboardInterrupt)


class Stopped(SystemExit):
    """Ends a command after Ctrl-C; its line is printed already."""


def say_stopped(who: str, error: BaseException) -> None:
    """Print the one line of a command or a stage that Ctrl-C ended.

    Args:
        who: the command or stage.
        error: what Ctrl-C led to; a KeyboardInterrupt may hold what the line says instead of "stopped".
    """
    said = str(error) if isinstance(error, KeyboardInterrupt) else ""
    print(f"{who}: {said or 'stopped'}", file=sys.stderr)


def leave() -> NoReturn:
    """End the process after Ctrl-C without waiting for its threads.

    Python itself would wait for them, and after an interrupt within `exec` it would give another exit code.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends what clearing up waits for
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(INTERRUPTED)
