"""The contract's tolerance of affines holds wherever the volumes of a case are laid on each other."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from glioseg.cli.case_job import Terms, Todo, segment_case
from glioseg.compute import Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import COHORT, Case, read_cases, read_cohort
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.quality.case_validation import evaluate
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.data.store.cropped_store import open_cases, store_cohort
from glioseg.data.store.cropping import Placement
from glioseg.evaluation.per_case import evaluate_cases
from glioseg.mlops.registry.register import HeldOut
from glioseg.models.inference import predictor
from glioseg.models.inference.predictor import Segmenter
from glioseg.params.contract import Contract, load_contract
from glioseg.serving.errors import RequestError
from glioseg.serving.model_reloader import Version
from glioseg.serving.segmentation import segment
from glioseg.serving.uploads import Upload
from tests.helpers.models import Formula, everywhere, make_settings

HERE = Cluster("threads")
SHAPE = (12, 14, 11)
AFFINE = np.diag([-1.0, -1, 1, 1])
LINE = "affine: expected that of the case's first image to 0.001, got a difference of 0.002"


def moved(shift_mm: float) -> Grid:
    affine = AFFINE.copy()
    affine[0, 3] = shift_mm
    return Grid(SHAPE, affine)


def write_case(folder: Path, shifts_mm: dict[str, float], name: str = "one") -> None:
    """A brain with all tissues, some of whose volumes lie a little apart."""
    rng = np.random.default_rng(3)
    brain = np.zeros(SHAPE, bool)
    brain[2:10, 2:12, 2:9] = True
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:9, 4:10, 4:8], labels[5:8, 5:9, 5:7], labels[6, 6, 6] = 2, 4, 1
    for role in (*MODALITIES, "seg"):
        data = labels if role == "seg" else (rng.integers(100, 900, SHAPE) * brain).astype(np.int16)
        volume = Volume(data, moved(shifts_mm.get(role, 0.0)))
        write_volume(folder / name / f"{name}_{role}.nii.gz", volume)


@dataclass(frozen=True)
class Project:
    """A folder with a cohort of one case and a contract."""

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
    def model(self) -> Segmenter:
        return Segmenter((Formula(everywhere),), make_settings(), self.contract)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    def make(affine: str, **shifts_mm: float) -> Project:
        write_case(tmp_path / "scans", shifts_mm)
        records = tmp_path / "records"
        acquire_folder(tmp_path / "raw", source=tmp_path / "scans", records=records, cluster=HERE)
        path = tmp_path / "contract.yaml"
        path.write_text(f"affine: {affine}\nshape: {{voxels: {list(SHAPE)}}}\n")
        return Project(tmp_path, load_contract(path))

    return make


def validate(project: Project) -> None:
    """As stage validate_raw does."""
    rows = measure_cohort([project.case], records=project.home / "records", cluster=HERE)
    found = [f for table in raw_tables([project.case], rows, project.contract) for f in evaluate(table)]
    if critical := [str(finding) for finding in found if finding.severity == "critical"]:
        raise GliosegError("; ".join(critical))


def store(project: Project, spacings_mm: tuple[int, ...] = (1,)) -> Path:
    """As stage crop does."""
    folder = project.home / "cropped"
    limit = project.contract.affine.refused_above
    settings = {"margin_vox": 1, "spacings_mm": spacings_mm, "affine_tolerance": limit}
    store_cohort(folder, [project.case], **settings, records=project.home / "records", cluster=HERE)
    return folder


def crop_on_the_fly(project: Project) -> None:
    """Placed before its scans were laid apart: the placement says what is tolerated."""
    lenient = Contract.model_validate(
        {"affine": {"severity": "critical", "predict": "critical", "tolerance": 10}}
    )
    folder = store(replace(project, contract=lenient), ())
    place = Placement.load(folder / "one")
    Placement(place.grid, place.box, project.contract.affine.refused_above).save(folder / "one")
    (case,) = open_cases(folder, ["one"], raw=project.raw)
    case.open(1)


def judge(project: Project) -> None:
    """As stage evaluate does."""
    evaluate_cases(project.model, [project.case], cluster=HERE)


def predict(project: Project) -> None:
    """As `glioseg predict` does."""
    outcome = segment_case(
        Todo(project.case, [project.home / "labels.nii.gz"]),
        model=project.model,
        terms=Terms("formula", project.contract, {}),
    )
    if outcome.refused:
        raise GliosegError(str(outcome.row))


def answer(project: Project) -> None:
    """As Python code does that holds a model."""
    files = project.case.files
    project.model.answer({name: read_volume(files[name]) for name in MODALITIES})


def serve(project: Project) -> None:
    """As the HTTP service does."""
    version = Version("folder", "formula", "1", project.model, project.contract)
    files = {role: file.read_bytes() for role, file in project.case.files.items()}
    try:
        segment(version, Upload(files), most_bytes=10**8)
    except RequestError as error:
        raise GliosegError(f"{error.rule}: {error.message}") from None


def call_logged_model(project: Project) -> None:
    """As MLflow does."""
    from glioseg.serving.pyfunc import GliosegModel

    model = GliosegModel()
    model._segmenter, model._contract = project.model, project.model.contract
    model._lock = threading.Lock()
    row = {name: project.case.files[name].read_bytes() for name in MODALITIES}
    table = model.predict(SimpleNamespace(), pd.DataFrame([row]))
    if not table["segmentation"][0]:
        raise GliosegError(table["verdict"][0].replace('"rule": "affine"', "affine").replace('"', ""))


PLACES = (validate, store, crop_on_the_fly, judge, predict, answer, serve, call_logged_model)


@pytest.mark.parametrize("place", PLACES)
def test_within_the_tolerance_a_case_passes(place: Callable, make: Callable[..., Project]) -> None:
    place(make("{tolerance: 0.01}", flair=0.002))


@pytest.mark.parametrize("place", PLACES)
def test_beyond_it_the_case_is_refused_in_the_same_words(
    place: Callable, make: Callable[..., Project]
) -> None:
    with pytest.raises(GliosegError, match="affine") as error:
        place(make("{tolerance: 0.001}", flair=0.002))
    what, how = LINE.split(": ")
    assert what in str(error.value)
    assert how in str(error.value)


@pytest.mark.parametrize("place", [validate, store, crop_on_the_fly])
def test_a_segmentation_must_lie_there_too(place: Callable, make: Callable[..., Project]) -> None:
    with pytest.raises(GliosegError, match=rf"one/seg.*{LINE}"):
        place(make("{tolerance: 0.001}", seg=0.002))
    place(make("{tolerance: 0.01}", seg=0.002))


@pytest.mark.parametrize("place", PLACES)
def test_a_rule_that_only_warns_refuses_nowhere(place: Callable, make: Callable[..., Project]) -> None:
    place(make("{severity: warning, predict: warning}", flair=3.0))


def test_a_champion_with_a_stricter_contract_is_measured_on_the_project_s_cases(
    make: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("{tolerance: 0.01}", flair=0.002)
    strict = replace(project.model, contract=Contract())
    monkeypatch.setattr(predictor, "load_model", lambda folder: strict)
    table, _ = HeldOut(project.raw / COHORT, ["one"], project.contract).judge(Path("of the champion"))
    assert table["case"].tolist() == ["one"]
    with pytest.raises(GliosegError, match=LINE):
        evaluate_cases(strict, read_cases(project.raw / COHORT, ["one"]), cluster=HERE)
