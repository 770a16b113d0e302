"""Each defect alone, in a case of its own: it is refused by name and all other cases are accepted."""

import gzip
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from glioseg.data import contracts
from glioseg.data.cases import Case, find_cases, read_cohort, write_cohort
from glioseg.data.layouts import MODALITIES, ROLES
from glioseg.data.survey import measure_cohort
from glioseg.data.verdict import ContractError, Verdict
from glioseg.data.volumes import Grid, Volume, write_volume
from glioseg.labels import Scheme
from glioseg.params import Validate

SHAPE = (24, 20, 16)
BRATS_AFFINE = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
EXPECTED = Validate(
    on_failure="quarantine",
    shape=SHAPE,
    spacing_mm=(1.0, 1.0, 1.0),
    min_brain_fraction=0.05,
    max_brain_fraction=0.6,
)
Volumes = dict[str, Volume]
Found = set[tuple[str, str, str, str]]


def healthy(seed: int) -> Volumes:
    """An ellipsoid of brain with a tumour of all three labels in it."""
    rng = np.random.default_rng(seed)
    away = [(np.arange(n) - (n - 1) / 2) / r for n, r in zip(SHAPE, (9, 7, 5), strict=True)]
    brain = sum(axis**2 for axis in np.ix_(*away)) < 1
    grid = Grid(SHAPE, BRATS_AFFINE)
    volumes = {m: Volume((rng.integers(50, 900, SHAPE) * brain).astype(np.int16), grid) for m in MODALITIES}
    seg = np.zeros(SHAPE, np.uint8)
    seg[9:14, 8:12, 6:10], seg[10:13, 9:11, 7:9], seg[10, 9, 7] = 2, 4, 1
    return volumes | {"seg": Volume(seg, grid)}


def edit(
    role: str, change: Callable[[np.ndarray], None], dtype: type = np.int16
) -> Callable[[Volumes], None]:
    """A defect that changes voxels of one volume."""

    def defect(volumes: Volumes) -> None:
        data = volumes[role].data.astype(dtype)
        change(data)
        volumes[role] = replace(volumes[role], data=data)

    return defect


def place(role: str, row: int, column: int, value: float) -> Callable[[Volumes], None]:
    """A defect that changes one entry of a volume's affine."""

    def defect(volumes: Volumes) -> None:
        affine = BRATS_AFFINE.copy()
        affine[row, column] = value
        for name in ROLES if role == "all" else (role,):
            volumes[name] = Volume(volumes[name].data, Grid(SHAPE, affine))

    return defect


def put(index: tuple[object, ...], value: float) -> Callable[[np.ndarray], None]:
    def change(data: np.ndarray) -> None:
        data[index] = value

    return change


def cut(volumes: Volumes) -> None:
    data = volumes["t2"].data[:, :, :15]
    volumes["t2"] = Volume(data, Grid(data.shape, BRATS_AFFINE))


def flatten(data: np.ndarray) -> None:
    data[data != 0] = 100


def as_2023(volumes: Volumes) -> None:
    seg = volumes["seg"].data.astype(np.float32)
    seg[seg == 4] = 3
    volumes["seg"] = replace(volumes["seg"], data=seg)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"no gzip and no NIfTI " * 40)


def corrupt(path: Path) -> None:
    """Overwrite the middle of the compressed bytes; the file keeps its length."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 32] = b"\xff" * 32
    path.write_bytes(content)


def squash(path: Path) -> None:
    """Zero the third row of the affine in the header (srow_z of NIfTI-1, at byte 312)."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[312:328] = bytes(16)
    path.write_bytes(gzip.compress(bytes(content)))


@dataclass(frozen=True)
class Sample:
    """A case: how it differs from a healthy one, and what must be found in it (role, name, expected, got)."""

    found: Found
    defect: Callable[[Volumes], object] = lambda volumes: None
    damage: tuple[str, Callable[[Path], object]] | None = None
    scheme: Scheme = Scheme.BRATS2021


VALUES_2021, VALUES_2023 = "0, 1, 2, 4 (brats2021)", "0, 1, 2, 3 (brats2023)"
FRACTION = "0.05 to 0.6 of the voxels not 0"
WHOLE = "a whole 3D NIfTI file"
FIRST = "that of the case's first image to 0.001"
TWIN = "bytes that no earlier image has"
CORNER = (0, 0, 0)

SAMPLES = {
    "a-good": Sample(set()),
    "b-good-2023": Sample(set(), as_2023, scheme=Scheme.BRATS2023),
    "c-good-no-tumour": Sample(set(), edit("seg", put((...,), 0), np.uint8)),
    "d-good-also-no-tumour": Sample(set(), edit("seg", put((...,), 0), np.uint8)),
    "complex": Sample(
        {("t2", "dtype", "real numbers", "complex64")}, edit("t2", lambda d: None, np.complex64)
    ),
    "constant": Sample(
        {("flair", "contrast", "brightness that varies in the brain", "one value")}, edit("flair", flatten)
    ),
    "corrupt": Sample({("t2", "readable", WHOLE, "")}, damage=("t2", corrupt)),
    "empty": Sample({("t2", "brain fraction", FRACTION, "0")}, edit("t2", put((...,), 0))),
    "full": Sample({("t1", "brain fraction", FRACTION, "1")}, edit("t1", lambda d: np.add(d, 1, out=d))),
    "garbage": Sample({("t1", "readable", WHOLE, "")}, damage=("t1", garble)),
    "half-label": Sample(
        {("seg", "labels", VALUES_2021, "0, 0.5, 1, 2, 4")}, edit("seg", put((9, 8, 6), 0.5), np.float32)
    ),
    "infinite": Sample(
        {("t1ce", "infinite", "0 voxels", "2 voxels")},
        edit("t1ce", put(([12, 13], 10, 8), np.inf), np.float32),
    ),
    "label-4-in-2023": Sample({("seg", "labels", VALUES_2023, "0, 1, 2, 4")}, scheme=Scheme.BRATS2023),
    "label-7": Sample(
        {("seg", "labels", VALUES_2021, "0, 1, 2, 4, 7")}, edit("seg", put((9, 8, 6), 7), np.uint8)
    ),
    "missing": Sample({("t1ce", "modality", "a file for t1ce", "none")}, damage=("t1ce", Path.unlink)),
    "nan": Sample(
        {("t1", "NaN", "0 voxels", "3 voxels")}, edit("t1", put((12, 10, slice(6, 9)), np.nan), np.float32)
    ),
    "outside": Sample(
        {("seg", "labels outside brain", "no label where every image is 0", "1 voxels")},
        edit("seg", put(CORNER, 1), np.uint8),
    ),
    "shape": Sample({("t2", "shape", "(24, 20, 16)", "(24, 20, 15)")}, cut),
    "shifted": Sample({("flair", "affine", FIRST, "a difference of 5")}, place("flair", 0, 3, 5)),
    "singular": Sample(
        {("t2", "orientation", "an affine that can be inverted", "one that cannot")}, damage=("t2", squash)
    ),
    "spacing": Sample(
        {(role, "spacing", "(1.0, 1.0, 1.0) mm", "(1.0, 1.0, 2.5) mm") for role in ROLES},
        place("all", 2, 2, 2.5),
    ),
    "truncated": Sample({("flair", "readable", WHOLE, "")}, damage=("flair", truncate)),
    "twin": Sample({(m, "own bytes", TWIN, f"those of a-good/{m}") for m in MODALITIES}),
    "unlabelled": Sample(set(), damage=("seg", Path.unlink)),
}
GOOD = [name for name, sample in SAMPLES.items() if not sample.found and name != "unlabelled"]
BAD = [name for name, sample in SAMPLES.items() if sample.found]


def write_cohort_of(samples: dict[str, Sample], raw: Path) -> list[Case]:
    """Write data/raw as stage acquire leaves it; a twin has the voxels of the first case."""
    for seed, (name, sample) in enumerate(samples.items()):
        volumes = healthy(0 if name == "twin" else seed)
        sample.defect(volumes)
        for role, volume in volumes.items():
            write_volume(raw / name / f"{name}_{role}.nii.gz", volume)
        if sample.damage:
            role, damage = sample.damage
            damage(raw / name / f"{name}_{role}.nii.gz")
    write_cohort(raw / "cohort.csv", [Case(name, {}, sample.scheme) for name, sample in samples.items()])
    return read_cohort(raw / "cohort.csv")


def judged(cases: list[Case], docs: Path) -> Verdict:
    return contracts.check_raw(
        cases, measure_cohort(cases, records=docs.parent / "records"), EXPECTED, docs=docs
    )


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return write_cohort_of(SAMPLES, tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs") / "raw"


@pytest.fixture(scope="session")
def verdict(cohort: list[Case], docs: Path) -> Verdict:
    def refuse(*_: object) -> None:
        raise AssertionError("the contract went to the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        return judged(cohort, docs)


@pytest.mark.parametrize("name", BAD)
def test_a_defect_is_refused_by_name_and_nothing_else_is_said_of_its_case(
    name: str, verdict: Verdict
) -> None:
    found = {
        (v.role, v.expectation, v.expected, "" if v.expectation == "readable" else v.observed)
        for v in verdict.violations
        if v.case == name
    }
    assert found == SAMPLES[name].found
    assert verdict.cases[name] == "refused"


def test_an_unreadable_file_says_why(verdict: Verdict) -> None:
    (why,) = (v.observed for v in verdict.violations if v.case == "truncated")
    assert why.startswith("not a whole NIfTI file: ")


def test_good_cases_are_accepted_beside_bad_ones(verdict: Verdict) -> None:
    assert verdict.outcome == "quarantined"
    assert verdict.named("accepted") == GOOD
    verdict.require(Path("pages"))


def test_a_case_without_segmentation_is_for_prediction_only(verdict: Verdict) -> None:
    assert verdict.named("prediction_only") == ["unlabelled"]
    assert [(w.case, w.expectation) for w in verdict.warnings] == [("unlabelled", "segmentation")]


def test_the_verdict_is_the_same_bytes_each_time(
    cohort: list[Case], verdict: Verdict, tmp_path: Path
) -> None:
    verdict.save(tmp_path / "one.json")
    judged(cohort, tmp_path / "docs").save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_verdict_lists_every_volume(verdict: Verdict) -> None:
    # Two files were taken away: the t1ce of "missing" and the seg of "unlabelled".
    assert len(verdict.volumes) == len(SAMPLES) * len(ROLES) - 2


def test_pages_open_without_a_network(docs: Path, verdict: Verdict) -> None:
    pages = list(docs.rglob("*.html"))
    assert len(pages) == 5  # the index, and for volumes and cohort the suite and its results
    for page in pages:
        links = re.findall(r'(?:href|src)="([^"#]+)"', page.read_text())
        assert not [link for link in links if not (page.parent / link).is_file()], page
        assert "url(" not in page.read_text()
    index = (docs / "index.html").read_text()
    assert all(name in index for name in SAMPLES)
    assert "(24, 20, 15)" in index


def test_a_name_that_occurs_twice_is_refused(cohort: list[Case], tmp_path: Path) -> None:
    good = [case for case in cohort if case.case in GOOD[:2]]
    verdict = judged([*good, good[0]], tmp_path / "docs")
    assert [str(violation) for violation in verdict.violations] == [
        "a-good (cohort.csv): unique id: expected each case once, got a-good more than once"
    ]


def test_a_cohort_of_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="at least one case"):
        contracts.check_raw([], [], EXPECTED, docs=tmp_path / "docs")


def test_real_scans_keep_the_contract(real_scans: Path, tmp_path: Path) -> None:
    found = find_cases(real_scans)
    for case in found:
        (tmp_path / "raw" / case.case).mkdir(parents=True)
        for role, file in case.files.items():
            (tmp_path / "raw" / case.case / f"{case.case}_{role}.nii.gz").symlink_to(file)
    write_cohort(tmp_path / "raw" / "cohort.csv", found)
    cases = read_cohort(tmp_path / "raw" / "cohort.csv")
    expected = EXPECTED.model_copy(update={"shape": (240, 240, 155), "on_failure": "stop"})
    verdict = contracts.check_raw(
        cases, measure_cohort(cases, records=tmp_path / "records"), expected, docs=tmp_path / "docs"
    )
    assert [str(violation) for violation in verdict.violations] == []
    assert verdict.cases == {case.case: "accepted" if case.labelled else "prediction_only" for case in cases}
