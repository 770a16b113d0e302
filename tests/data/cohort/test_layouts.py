"""Small trees in every layout in which BraTS and the Decathlon came."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, VolumeError, read_volume, write_volume
from glioseg.data.cohort.case_io import read_images
from glioseg.data.cohort.cases import Case, CohortError, find_cases
from glioseg.data.cohort.clinical import TableError
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.cohort.label_schemes import shown_in
from glioseg.data.cohort.layouts import LayoutError

GRID = Grid((3, 4, 5), np.diag([-1.0, -1, 1, 1]))
OLD = {role: f"_{role}" for role in (*MODALITIES, "seg")}
NEW = {"t1": "-t1n", "t1ce": "-t1c", "t2": "-t2w", "flair": "-t2f", "seg": "-seg"}


def write_case(folder: Path, name: str, endings: dict[str, str], *, labels: tuple[int, ...] = (0, 1, 2, 4)):
    """A case whose images hold the number of their modality and whose segmentation has these labels."""
    for role, ending in endings.items():
        value = 10 * (1 + MODALITIES.index(role)) if role in MODALITIES else 0
        data = np.full(GRID.shape, value, np.int16)
        if role == "seg":
            data.flat[: len(labels)] = labels
        write_volume(folder / name / f"{name}{ending}.nii.gz", Volume(data, GRID))


def write_table(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def brats2017(folder: Path) -> None:
    write_case(folder / "Brats17TrainingData" / "HGG", "Brats17_A", OLD)
    write_case(folder / "Brats17TrainingData" / "LGG", "Brats17_B", OLD, labels=(0, 1, 2))
    write_table(
        folder / "Brats17TrainingData/survival_data.csv", "Brats17ID,Age,Survival", "Brats17_A,60,300"
    )


def brats2018(folder: Path) -> None:
    training = folder / "MICCAI_BraTS_2018_Data_Training"
    write_case(training / "HGG", "Brats18_A", OLD)
    write_case(training / "LGG", "Brats18_B", OLD)
    columns = "BraTS18ID,Age,Survival,ResectionStatus"
    write_table(training / "survival_data.csv", columns, "Brats18_A,60,300,GTR")


def brats2019(folder: Path) -> None:
    training = folder / "MICCAI_BraTS_2019_Data_Training"
    write_case(training / "HGG", "BraTS19_A", OLD)
    write_case(training / "LGG", "BraTS19_B", OLD)
    write_table(
        training / "name_mapping.csv",
        "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID",
        "HGG,Brats17_A,Brats18_A,NA,BraTS19_A",
        "LGG,NA,NA,TCGA-1,BraTS19_B",
    )
    write_table(
        training / "survival_data.csv", "BraTS19ID,Age,Survival,ResectionStatus", "BraTS19_A,60,300,NA"
    )


def brats2020(folder: Path) -> None:
    training = folder / "MICCAI_BraTS2020_TrainingData"
    write_case(training, "BraTS20_Training_001", OLD)
    write_case(training, "BraTS20_Training_002", OLD)
    write_table(
        training / "name_mapping.csv",
        "Grade,BraTS_2017_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID",
        "HGG,NA,NA,NA,BraTS20_Training_001",
        "LGG,NA,NA,NA,BraTS20_Training_002",
    )
    columns = "Brats20ID,Age,Survival_days,Extent_of_Resection"
    write_table(training / "survival_info.csv", columns, "BraTS20_Training_001,60,300,GTR")


@pytest.mark.parametrize("make", [brats2017, brats2018, brats2019, brats2020])
def test_to_2020_grade_and_survival_come_from_folders_and_tables(tmp_path, make):
    make(tmp_path)
    high, low = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert (high.grade, high.age, high.survival_days) == ("HGG", 60, 300)
    assert (low.grade, low.age, low.survival_days) == ("LGG", None, None)
    assert high.scheme is low.scheme is Scheme.BRATS2021
    assert brightness(high) == {"t1": 10, "t1ce": 20, "t2": 30, "flair": 40}


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    brats2017(tmp_path)
    (tmp_path / "survival_data.csv").write_bytes(b"Brats17ID,Age\n\xff\xfe,60\n")
    with pytest.raises(TableError, match=r"survival_data\.csv: not a table of patients: "):
        find_cases(tmp_path)


def test_what_is_no_finite_number_is_not_known(tmp_path):
    write_case(tmp_path, "A", OLD)
    for word in ("ALIVE (361 days later)", "nan", "inf", "-Infinity", "1e999", ""):
        write_table(tmp_path / "survival_data.csv", "BraTS18ID,Age,Survival", f"A,{word},{word}")
        (case,) = find_cases(tmp_path)
        assert (case.age, case.survival_days) == (None, None), word


def test_2021(tmp_path):
    write_case(tmp_path, "BraTS2021_00000", OLD)
    (case,) = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert (case.case, case.grade, case.scheme) == ("BraTS2021_00000", None, Scheme.BRATS2021)


def test_2023(tmp_path):
    training = tmp_path / "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData"
    write_case(training, "BraTS-GLI-00000-000", NEW, labels=(0, 1, 2, 3))
    write_case(training, "BraTS-GLI-00000-001", NEW, labels=(0, 1, 2))
    one, other = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert one.patient == other.patient == "BraTS-GLI-00000"
    assert one.scheme is other.scheme is Scheme.BRATS2023
    assert brightness(one) == {"t1": 10, "t1ce": 20, "t2": 30, "flair": 40}


def test_2024_some_cases_have_a_cavity_alone(tmp_path):
    write_case(tmp_path, "BraTS-GLI-02062-100", NEW, labels=(0, 1, 2, 3, 4))
    write_case(tmp_path, "BraTS-GLI-02062-101", NEW, labels=(0, 2, 4))
    write_case(tmp_path, "BraTS-GLI-02063-100", NEW, labels=(0, 3))
    cases = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert {case.scheme for case in cases} == {Scheme.BRATS2024}


def in_place(folder: Path, elsewhere: Path) -> None:
    """No link at all."""
    elsewhere.rename(folder)


def as_a_whole(folder: Path, elsewhere: Path) -> None:
    """The cohort's folder is a link."""
    folder.symlink_to(elsewhere)


def part_by_part(folder: Path, elsewhere: Path) -> None:
    """The cohort's folder holds links to what it should hold."""
    folder.mkdir()
    for part in elsewhere.iterdir():
        (folder / part.name).symlink_to(part)


def piece_by_piece(folder: Path, elsewhere: Path) -> None:
    """Each folder of the training data, and each of its tables, is a link."""
    (training,) = elsewhere.iterdir()
    part_by_part(folder, training)


def under_other_names(folder: Path, elsewhere: Path) -> None:
    """Links whose own names tell no grade."""
    (training,) = elsewhere.iterdir()
    folder.mkdir()
    for number, part in enumerate(sorted(training.iterdir())):
        (folder / (part.name if part.suffix else f"part {number}")).symlink_to(part)


@pytest.mark.parametrize("link", [in_place, as_a_whole, part_by_part, piece_by_piece, under_other_names])
@pytest.mark.parametrize("make", [brats2017, brats2018, brats2019, brats2020])
def test_links_lose_neither_grade_nor_survival(tmp_path, make, link):
    make(tmp_path / "elsewhere")
    link(tmp_path / "cohort", tmp_path / "elsewhere")
    high, low = find_cases(tmp_path / "cohort")
    assert (high.grade, high.age, high.survival_days) == ("HGG", 60, 300)
    assert (low.grade, low.age, low.survival_days) == ("LGG", None, None)


CHANNELS = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
TISSUES = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}


def write_stack(path: Path, stack: np.ndarray) -> None:
    """A 4D file, which glioseg itself never writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(stack, GRID.affine), path)


def write_decathlon(folder: Path, *, channels=CHANNELS, tissues=TISSUES) -> Path:
    """Task01 with one labelled case and one for testing, whose channels hold 100, 101, 102 and 103."""
    task = folder / "Task01_BrainTumour"
    stack = np.stack([np.full(GRID.shape, 100 + i, np.int16) for i in range(4)], axis=-1)
    labels = np.zeros(GRID.shape, np.uint8)
    labels.flat[:4] = range(4)
    write_stack(task / "imagesTr" / "BRATS_001.nii.gz", stack)
    write_stack(task / "imagesTs" / "BRATS_485.nii.gz", stack)
    write_volume(task / "labelsTr" / "BRATS_001.nii.gz", Volume(labels, GRID))
    (task / "imagesTr" / "._BRATS_001.nii.gz").write_bytes(b"left over by macOS")
    (task / "dataset.json").write_text(json.dumps({"modality": channels, "labels": tissues}))
    return task


def brightness(case: Case) -> dict[str, int]:
    """The one value of each of a case's images."""
    values = {role: np.unique(volume.data).tolist() for role, volume in read_images(case).items()}
    assert all(len(found) == 1 for found in values.values())
    return {role: found[0] for role, found in values.items()}


def test_of_the_decathlon_each_modality_becomes_a_file(tmp_path):
    write_decathlon(tmp_path)
    labelled, other = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert (labelled.case, labelled.scheme, labelled.labelled) == ("BRATS_001", Scheme.MSD, True)
    assert (other.case, other.labelled) == ("BRATS_485", False)
    flair, t1, t1ce, t2 = 100, 101, 102, 103
    for case in (labelled, other):
        assert brightness(case) == {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
        assert case.files["t1"].name == f"{case.case}_t1.nii.gz"
    np.testing.assert_array_equal(read_volume(labelled.files["t2"]).grid.affine, GRID.affine)


def test_of_the_decathlon_folders_may_be_links(tmp_path):
    task = write_decathlon(tmp_path / "elsewhere")
    (tmp_path / "cohort").mkdir()
    for part in task.iterdir():
        (tmp_path / "cohort" / part.name).symlink_to(part)
    labelled, other = find_cases(tmp_path / "cohort")
    assert (labelled.case, labelled.labelled, other.case) == ("BRATS_001", True, "BRATS_485")


def test_channels_are_where_dataset_json_says(tmp_path):
    write_decathlon(tmp_path, channels={"0": "T2w", "1": "T1w", "2": "t1gd", "3": "FLAIR"})
    case = find_cases(tmp_path)[0]
    assert brightness(case) == {"t1": 101, "t1ce": 102, "t2": 100, "flair": 103}


def test_another_task_of_the_decathlon_is_refused(tmp_path):
    write_decathlon(tmp_path, channels={"0": "CT"})
    with pytest.raises(LayoutError, match=r"dataset\.json: modality: expected FLAIR, T1w, .*, got CT"):
        find_cases(tmp_path)
    write_decathlon(tmp_path, tissues=TISSUES | {"1": "liver"})
    with pytest.raises(LayoutError, match=r"dataset\.json: labels: expected .*edema.*liver"):
        find_cases(tmp_path)
    for broken in ("{", "[]", '{"modality": {"0": "T2w"}, "labels": null}'):
        (tmp_path / "Task01_BrainTumour" / "dataset.json").write_text(broken)
        with pytest.raises(LayoutError, match=r"dataset\.json: not a dataset\.json of the Decathlon"):
            find_cases(tmp_path)


def test_a_file_without_its_channels_is_named(tmp_path):
    task = write_decathlon(tmp_path)
    write_stack(task / "imagesTr" / "BRATS_001.nii.gz", np.zeros((*GRID.shape, 2), np.int16))
    with pytest.raises(
        VolumeError, match=r"BRATS_001\.nii\.gz: expected 4 axes, the last of at least 4, got"
    ):
        read_images(find_cases(tmp_path)[0])


def test_a_mixture_of_schemes_is_refused_unless_one_is_declared(tmp_path):
    source = tmp_path / "mine"
    for index in range(5):
        write_case(source, f"A{index}", OLD)
    write_case(source, "B", OLD, labels=(0, 3))
    expected = r"got brats2021 in A0, A1, A2 and 2 more, brats2023 in B; if it is one, declare data\.scheme"
    with pytest.raises(CohortError, match=expected):
        acquire_folder(tmp_path / "raw", source=source, records=tmp_path / "records")
    cases = acquire_folder(
        tmp_path / "raw", source=source, scheme=Scheme.BRATS2021, records=tmp_path / "records"
    )
    assert {case.scheme for case in cases} == {Scheme.BRATS2021}


def test_before_2023_a_3_beside_a_4_does_not_make_a_cavity(tmp_path):
    write_case(tmp_path, "A", OLD, labels=(0, 3, 4))
    write_case(tmp_path, "B", OLD)
    cases = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert {case.scheme for case in cases} == {Scheme.BRATS2021}


def test_links_are_followed_once_even_in_a_circle(tmp_path):
    write_case(tmp_path / "elsewhere", "A", OLD)
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    (cohort / "A").symlink_to(tmp_path / "elsewhere" / "A")
    (cohort / "circle").symlink_to(cohort)
    (case,) = find_cases(cohort)
    assert case.case == "A"


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_labels_that_are_no_numbers_show_no_scheme(tmp_path, dtype):
    write_case(tmp_path, "A", OLD)
    write_volume(tmp_path / "A" / "A_seg.nii.gz", Volume(np.full(GRID.shape, 4).astype(dtype), GRID))
    (case,) = find_cases(tmp_path)
    assert shown_in(case) is None
