"""What stages share: one clear line and exit code 1 where the input is bad, and the tuned settings."""

import sys
from collections.abc import Callable
from pathlib import Path

# A queued experiment runs in a copy of the project: with the copy's code, which dvc.lock names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from pydantic import ValidationError

import glioseg
from glioseg.cluster import Cluster, choose_cluster
from glioseg.errors import one_line
from glioseg.files import read_json
from glioseg.params import Params, load_params, with_best
from glioseg.settings_file import wrong_value

PACKAGE = Path(glioseg.__file__).parent
"""The code that runs here, to be kept beside its model."""

BEST = Path("reports/tune/best_params.json")

RECORDS = Path("data/.records")
"""What stages remember of each case, so that they do again only what changed; see `glioseg.data.records`."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; an error that names its cause becomes one line on stderr, without a traceback."""
    with one_line(sys.argv[0], stopped="stopped; run `dvc repro` again to go on"):
        main()


def chosen_cluster() -> Cluster:
    """Where params.yaml or GLIOSEG_CLUSTER says that cases are done; no stage depends on it."""
    return choose_cluster(load_params().compute)


def tuned_params() -> Params:
    """params.yaml, with what the study found best."""
    try:
        return with_best(load_params(), read_json(BEST))
    except ValidationError as error:
        raise wrong_value(BEST, error) from None
