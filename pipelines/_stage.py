"""What stages share: one clear line and exit code 1 where the input is bad, and the tuned settings."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

# A queued experiment runs in a copy of the project: with the copy's code, which dvc.lock names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import glioseg
from glioseg.cluster import Cluster, choose_cluster
from glioseg.params import Params, load_params, with_best

PACKAGE = Path(glioseg.__file__).parent
"""The code that runs here, to be kept beside its model."""

BEST = Path("reports/tune/best_params.json")

RECORDS = Path("data/.records")
"""What stages remember of each case, so that they do again only what changed; see `glioseg.data.records`."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; an error that names its cause becomes one line on stderr, without a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; run `dvc repro` again to go on")
    except (ValueError, OSError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")


def chosen_cluster() -> Cluster:
    """Where params.yaml or GLIOSEG_CLUSTER says that cases are done; no stage depends on it."""
    return choose_cluster(load_params().compute)


def tuned_params() -> Params:
    """params.yaml, with what the study found best."""
    return with_best(load_params(), json.loads(BEST.read_text()))
