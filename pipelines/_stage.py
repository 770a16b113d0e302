"""What every stage does around its work: one clear line and exit code 1 where the input is bad."""

import sys
from collections.abc import Callable


def run(main: Callable[[], None]) -> None:
    """Run a stage; an error that names its cause becomes one line on stderr, without a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; run `dvc repro` again to go on")
    except (ValueError, OSError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
