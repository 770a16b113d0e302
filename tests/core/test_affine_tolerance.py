"""The contract's tolerance of affines applies wherever volumes of a case are combined."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from glioseg.cli.predict_case import CaseJob, JobSettings, Product, segment_case
from glioseg.compute import Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import COHORT, Case, read_cases, read_cohort
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.expectations import evaluate_table
from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.data.store.cropped_cases import open_cases
from glioseg.data.store.cropped_store import store_cohort
from glioseg.data.store.cropping import Placement
from glioseg.evaluation.per_case import evaluate_cases
from glioseg.mlops.registry.register import HeldOutCases
from glioseg.models.inference import loading
from glioseg.models.inference.predictor import Predictor
from glioseg.params.contract import Contract, load_contract
from glioseg.serving.model_reloader import LoadedVersion
from glioseg.serving.schemas import RequestError
from glioseg.serving.segmentation import segment
from glioseg.serving.uploads import Upload
from tests.helpers.models import Formula, everywhere, make_settings

THREADS = Cluster("threads")
SHAPE = (12, 14, 11)
AFFINE = np.diag([-1.0, -1, 1, 1])
MESSAGE = "affine: expected that of the case's first image to 0.001, got a difference of 0.002"


def shifted(shift_mm: float) -> Grid:
    affine = AFFINE.copy()
    affine[0, 3] = shift_mm
    return Grid(SHAPE, affine)


def write_case(folder: Path, shifts_mm: dict[str, float], name: str = "one") -> None:
    """A case with all tissues, some of whose volumes are shifted."""
    rng = np.random.default_rng(3)
    brain = np.zeros(SHAPE, bool)
    brain[2:10, 2:12, 2:9] = True
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:9, 4:10, 4:8], labels[5:8, 5:9, 5:7], labels[6, 6, 6] = 2, 4, 1
    for role in (*MODALITIES, "seg"):
        data = labels if role == "seg" else (rng.integers(100, 900, SHAPE) * brain).astype(np.int16)
        volume = Volume(data, shifted(shifts_mm.get(role, 0.0)))
        write_volume(folder / name / f"{name}_{role}.nii.gz", volume)


@dataclass(frozen=True)
class Project:
    """A project folder with a cohort of one case and a contract."""

    home: Path
    contract: Contract

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def case(self) -> Case:
        (case,) = read_cohort(self.raw / COHORT)
        return case

    @property
    def model(self) -> Predictor:
        return Predictor((Formula(everywhere),), make_settings(), self.contract)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    def make(affine: str, **shifts_mm: float) -> Project:
        write_case(tmp_path / "scans", shifts_mm)
        records = tmp_path / "records"
        acquire_folder(tmp_path / "raw", source=tmp_path / "scans", records=records, cluster=THREADS)
        path = tmp_path / "contract.yaml"
        path.write_text(f"affine: {affine}\nshape: {{voxels: {list(SHAPE)}}}\n")
        return Project(tmp_path, load_contract(path))

    return make


def validate(project: Project) -> None:
    """As stage validate_raw does."""
    rows = measure_cohort([project.case], records=project.home / "records", cluster=THREADS)
    found = [f for table in raw_tables([project.case], rows, project.contract) for f in evaluate_table(table)]
    if critical := [str(finding) for finding in found if finding.severity == "critical"]:
        raise GliosegError("; ".join(critical))


def store(project: Project, spacings_mm: tuple[int, ...] = (1,)) -> Path:
    """As stage crop does."""
    folder = project.home / "cropped"
    limit = project.contract.affine.rejection_threshold_mm
    settings = {"margin_vox": 1, "spacings_mm": spacings_mm, "affine_tolerance": limit}
    store_cohort(folder, [project.case], **settings, records=project.home / "records", cluster=THREADS)
    return folder


def crop_on_the_fly(project: Project) -> None:
    """As reading a case whose stored placement has the tolerance of the contract."""
    lenient = Contract.model_validate(
        {"affine": {"severity": "critical", "predict": "critical", "tolerance": 10}}
    )
    folder = store(replace(project, contract=lenient), ())
    placement = Placement.load(folder / "one")
    limit = project.contract.affine.rejection_threshold_mm
    Placement(placement.grid, placement.box, limit).save(folder / "one")
    (case,) = open_cases(folder, ["one"], raw=project.raw)
    case.open(1)


def evaluate(project: Project) -> None:
    """As stage evaluate does."""
    evaluate_cases(project.model, [project.case], cluster=THREADS)


def segment_folder(project: Project) -> None:
    """As `glioseg predict` does."""
    outcome = segment_case(
        CaseJob(project.case, {Product.LABELS: project.home / "labels.nii.gz"}),
        model=project.model,
        settings=JobSettings("formula", project.contract, {}),
    )
    if outcome.refused:
        raise GliosegError(str(outcome.row))


def predict(project: Project) -> None:
    """As the Python API does."""
    files = project.case.files
    project.model.predict({name: read_volume(files[name]) for name in MODALITIES})


def serve(project: Project) -> None:
    """As the HTTP service does."""
    version = LoadedVersion("folder", "formula", "1", project.model, project.contract)
    files = {role: file.read_bytes() for role, file in project.case.files.items()}
    try:
        segment(version, Upload(files), max_bytes=10**8)
    except RequestError as error:
        raise GliosegError(f"{error.rule}: {error.message}") from None


def call_logged_model(project: Project) -> None:
    """As MLflow does."""
    from glioseg.serving.pyfunc import GliosegModel

    model = GliosegModel()
    model._predictor, model._contract = project.model, project.model.contract
    model._lock = threading.Lock()
    row = {name: project.case.files[name].read_bytes() for name in MODALITIES}
    table = model.predict(SimpleNamespace(), pd.DataFrame([row]))
    if not table["segmentation"][0]:
        raise GliosegError(table["contract_check"][0].replace('"rule": "affine"', "affine").replace('"', ""))


STEPS = (validate, store, crop_on_the_fly, evaluate, segment_folder, predict, serve, call_logged_model)


@pytest.mark.parametrize("step", STEPS)
def test_a_case_within_the_tolerance_passes(step: Callable, make: Callable[..., Project]) -> None:
    step(make("{tolerance: 0.01}", flair=0.002))


@pytest.mark.parametrize("step", STEPS)
def test_a_case_beyond_the_tolerance_is_rejected_with_the_same_message(
    step: Callable, make: Callable[..., Project]
) -> None:
    with pytest.raises(GliosegError, match="affine") as error:
        step(make("{tolerance: 0.001}", flair=0.002))
    rule, difference = MESSAGE.split(": ")
    assert rule in str(error.value)
    assert difference in str(error.value)


@pytest.mark.parametrize("step", [validate, store, crop_on_the_fly])
def test_the_tolerance_applies_to_segmentations(step: Callable, make: Callable[..., Project]) -> None:
    with pytest.raises(GliosegError, match=rf"one/seg.*{MESSAGE}"):
        step(make("{tolerance: 0.001}", seg=0.002))
    step(make("{tolerance: 0.01}", seg=0.002))


@pytest.mark.parametrize("step", STEPS)
def test_a_rule_that_only_warns_never_rejects(step: Callable, make: Callable[..., Project]) -> None:
    step(make("{severity: warning, predict: warning}", flair=3.0))


def test_a_champion_with_a_stricter_contract_is_evaluated_with_the_project_s(
    make: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("{tolerance: 0.01}", flair=0.002)
    strict = replace(project.model, contract=Contract())
    monkeypatch.setattr(loading, "load_model", lambda folder: strict)
    table, _ = HeldOutCases(project.raw / COHORT, ["one"], project.contract).evaluate(Path("champion"))
    assert table["case"].tolist() == ["one"]
    with pytest.raises(GliosegError, match=MESSAGE):
        evaluate_cases(strict, read_cases(project.raw / COHORT, ["one"]), cluster=THREADS)
