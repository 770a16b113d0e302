"""A `glioseg` command that ends, as by Ctrl-C, with who started it: `python -m glioseg.cli.tethered WORDS`.

Its standard input is the tether: the kernel closes it when that process dies, however that happens.
"""

import os
import signal
import sys
import threading

from glioseg.cli import app


def main() -> None:
    """Run the command."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    app(sys.argv[1:])


def _end_with_starter() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
