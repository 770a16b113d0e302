"""Code that all stages share: one-line errors, Ctrl-C, and the tuned settings.

Stages import this module first, and slow imports are inside functions, so that Ctrl-C prints one line even
during imports.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

# DVC runs a queued experiment in a copy of the project: import the code of the copy, which dvc.lock names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import glioseg
from glioseg.core.entry import (
    exit_interrupted,
    handle_interrupts,
    print_interrupted,
    require_unix,
    was_interrupted,
)
from glioseg.core.errors import one_line_errors
from glioseg.core.extras import missing_package

if TYPE_CHECKING:
    from glioseg.compute import Cluster
    from glioseg.params import Params

PACKAGE = Path(glioseg.__file__).parent
"""The package that runs here; its code is stored with the model."""

BEST = Path("reports/tune/best_params.json")
RECORDS = Path("data/.records")
"""Per-case cache, so that a stage computes changed cases only; see `glioseg.data.cohort.case_cache`."""


def _handle_exception(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print one line for Ctrl-C and for a missing package, also during imports.

    Every other uncaught error keeps its traceback.
    """
    if was_interrupted(error):
        print_interrupted(sys.argv[0], KeyboardInterrupt("stopped; run `dvc repro` again to go on"))
        exit_interrupted()
    if message := missing_package(error, "train"):
        print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


require_unix()
handle_interrupts()
sys.excepthook = _handle_exception


def run(main: Callable[[], None]) -> None:
    """Run a stage; an error that a user can correct becomes one line on stderr, without a traceback."""
    with one_line_errors(sys.argv[0]):
        main()


def configured_cluster() -> "Cluster":
    """The cluster that params.yaml or GLIOSEG_CLUSTER names; no stage depends on it, since results do not."""
    from glioseg.compute import choose_cluster
    from glioseg.params import load_params

    return choose_cluster(load_params().compute)


def split_sizes() -> dict[str, Any]:
    """The settings of stage split without its seed; no result of another stage depends on them."""
    from glioseg.params import load_params

    return load_params().split.model_dump(exclude={"seed"})


def tuned_params() -> "Params":
    """params.yaml, with the best settings of the study."""
    from pydantic import ValidationError

    from glioseg.core.files import read_json
    from glioseg.params import load_params, with_best_params
    from glioseg.params.settings_file import params_error

    try:
        return with_best_params(load_params(), read_json(BEST))
    except ValidationError as error:
        raise params_error(BEST, error) from None
