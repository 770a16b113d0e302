"""Worker: one case from its files to a written label map, as `glioseg predict` does it once it is warm."""

import time
from pathlib import Path

from ours_build import Changes, build, changed
from serve import serve

from glioseg.core.labels import LabelScheme, to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, write_volume
from glioseg.data.cohort.cases import Case, open_scans
from glioseg.data.quality.raw_expectations import check_case
from glioseg.models.inference.loading import load_model, save_model
from glioseg.models.inference.model_settings import Settings
from glioseg.models.networks.hardware import dtype_policy
from glioseg.params.contract import CONTRACT, load_contract

STATE = {}


def make(*, out: str, changes: Changes | None = None) -> None:
    """Write an untrained network of params.yaml with some changes: what its answers say takes no time."""
    params = changed(changes or {})
    settings = Settings.untuned(params.network, params.train, params.crop, params.inference)
    Path(out).mkdir(parents=True, exist_ok=True)
    save_model(Path(out), [build(params, dtype=dtype_policy(params.train.precision))], settings)


def load(*, model: str) -> None:
    """Load a model folder with its contract."""
    STATE["predictor"], STATE["contract"] = load_model(Path(model)), load_contract(Path(model) / CONTRACT)


def predict(*, files: dict[str, str], out: str) -> float:
    """Read, check, segment and write a case; return the seconds."""
    begun = time.perf_counter()
    case = Case("case", {role: Path(file) for role, file in files.items()}, LabelScheme.BRATS2021)
    scans = open_scans(case, MODALITIES)
    check_case(case, scans, STATE["contract"])
    images = {role: scan.volume for role, scan in scans.items()}
    labels = STATE["predictor"].predict(images).labels
    grid = next(iter(images.values())).grid
    write_volume(Path(out), Volume(to_scheme(labels, case.scheme), grid))
    return time.perf_counter() - begun


if __name__ == "__main__":
    serve(make, load, predict)
