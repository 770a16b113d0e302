"""What stages share: how they end where the input is bad or Ctrl-C stops them, and the tuned settings.

Stages import this module first, and its functions import what takes long: so Ctrl-C is one line then, too.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

# A queued experiment runs in a copy of the project: with the copy's code, which dvc.lock names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import glioseg
from glioseg.core.entry import interrupted, leave, note_interrupts, require_unix, say_stopped
from glioseg.core.errors import one_line

if TYPE_CHECKING:
    from glioseg.compute import Cluster
    from glioseg.params import Params

PACKAGE = Path(glioseg.__file__).parent
"""The code that runs here, to be kept beside its model."""

BEST = Path("reports/tune/best_params.json")
RECORDS = Path("data/.records")
"""What stages remember of each case, so that they do again only what changed; see `glioseg.data.cohort.case_cache`."""


def _end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Python's last resort, also for what is raised while stages import: Ctrl-C is one line."""
    if not interrupted(error):
        sys.__excepthook__(kind, error, traceback)
        return
    say_stopped(sys.argv[0], KeyboardInterrupt("stopped; run `dvc repro` again to go on"))
    leave()


require_unix()
note_interrupts()
sys.excepthook = _end


def run(main: Callable[[], None]) -> None:
    """Run a stage; an error that names its cause becomes one line on stderr, without a traceback."""
    with one_line(sys.argv[0]):
        main()


def chosen_cluster() -> "Cluster":
    """Where params.yaml or GLIOSEG_CLUSTER says that cases are done; no stage depends on it."""
    from glioseg.compute import choose_cluster
    from glioseg.params import load_params

    return choose_cluster(load_params().compute)


def tuned_params() -> "Params":
    """params.yaml, with what the study found best."""
    from pydantic import ValidationError

    from glioseg.core.files import read_json
    from glioseg.core.settings_file import wrong_value
    from glioseg.params import load_params, with_best

    try:
        return with_best(load_params(), read_json(BEST))
    except ValidationError as error:
        raise wrong_value(BEST, error) from None
