"""Cases are found in small folders of every layout of BraTS and the Decathlon."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.nifti import Volume, VolumeError, read_volume, write_volume
from glioseg.data.cohort.cases import Case, CohortError, read_images
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.cohort.layouts import LayoutError, find_cases, parse_file_name
from tests.helpers.brats_folders import GRID, SINCE_2023, UNTIL_2021, write_case

UNTIL_2021_IMAGES = {role: ending for role, ending in UNTIL_2021.items() if role != "seg"}


def touch_case(folder: Path, name: str, endings: dict[str, str], suffix: str = ".nii.gz") -> None:
    """Write the files of a case without content, which are enough to find it."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending in endings.values():
        (folder / f"{name}{ending}{suffix}").write_bytes(b"")


def write_table(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def brats2017(folder: Path) -> None:
    write_case(folder / "Brats17TrainingData" / "HGG", "Brats17_A", UNTIL_2021)
    write_case(folder / "Brats17TrainingData" / "LGG", "Brats17_B", UNTIL_2021, labels=(0, 1, 2))
    write_table(
        folder / "Brats17TrainingData/survival_data.csv", "Brats17ID,Age,Survival", "Brats17_A,60,300"
    )


def brats2018(folder: Path) -> None:
    training = folder / "MICCAI_BraTS_2018_Data_Training"
    write_case(training / "HGG", "Brats18_A", UNTIL_2021)
    write_case(training / "LGG", "Brats18_B", UNTIL_2021)
    columns = "BraTS18ID,Age,Survival,ResectionStatus"
    write_table(training / "survival_data.csv", columns, "Brats18_A,60,300,GTR")


def brats2019(folder: Path) -> None:
    training = folder / "MICCAI_BraTS_2019_Data_Training"
    write_case(training / "HGG", "BraTS19_A", UNTIL_2021)
    write_case(training / "LGG", "BraTS19_B", UNTIL_2021)
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
    write_case(training, "BraTS20_Training_001", UNTIL_2021)
    write_case(training, "BraTS20_Training_002", UNTIL_2021)
    write_table(
        training / "name_mapping.csv",
        "Grade,BraTS_2017_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID",
        "HGG,NA,NA,NA,BraTS20_Training_001",
        "LGG,NA,NA,NA,BraTS20_Training_002",
    )
    columns = "Brats20ID,Age,Survival_days,Extent_of_Resection"
    write_table(training / "survival_info.csv", columns, "BraTS20_Training_001,60,300,GTR")


@pytest.mark.parametrize("make", [brats2017, brats2018, brats2019, brats2020])
def test_until_2020_grade_and_survival_come_from_folders_and_tables(tmp_path, make):
    make(tmp_path)
    high, low = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert (high.grade, high.age, high.survival_days) == ("HGG", 60, 300)
    assert (low.grade, low.age, low.survival_days) == ("LGG", None, None)
    assert high.scheme is low.scheme is LabelScheme.BRATS2021
    assert brightness(high) == {"t1": 10, "t1ce": 20, "t2": 30, "flair": 40}


def in_place(folder: Path, elsewhere: Path) -> None:
    """No links."""
    elsewhere.rename(folder)


def as_a_whole(folder: Path, elsewhere: Path) -> None:
    """The folder of the cohort is a link."""
    folder.symlink_to(elsewhere)


def part_by_part(folder: Path, elsewhere: Path) -> None:
    """The folder of the cohort holds a link for each of its entries."""
    folder.mkdir()
    for part in elsewhere.iterdir():
        (folder / part.name).symlink_to(part)


def piece_by_piece(folder: Path, elsewhere: Path) -> None:
    """Each folder of the training data, and each of its tables, is a link."""
    (training,) = elsewhere.iterdir()
    part_by_part(folder, training)


def under_other_names(folder: Path, elsewhere: Path) -> None:
    """Links with names without the grade."""
    (training,) = elsewhere.iterdir()
    folder.mkdir()
    for number, part in enumerate(sorted(training.iterdir())):
        (folder / (part.name if part.suffix else f"part {number}")).symlink_to(part)


@pytest.mark.parametrize("link", [in_place, as_a_whole, part_by_part, piece_by_piece, under_other_names])
@pytest.mark.parametrize("make", [brats2017, brats2018, brats2019, brats2020])
def test_links_keep_grade_and_survival(tmp_path, make, link):
    make(tmp_path / "elsewhere")
    link(tmp_path / "cohort", tmp_path / "elsewhere")
    high, low = find_cases(tmp_path / "cohort")
    assert (high.grade, high.age, high.survival_days) == ("HGG", 60, 300)
    assert (low.grade, low.age, low.survival_days) == ("LGG", None, None)


CHANNELS = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
TISSUES = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}


def write_stack(path: Path, stack: np.ndarray) -> None:
    """Write a 4D file, which glioseg itself never does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(stack, GRID.affine), path)


def write_decathlon(folder: Path, *, channels=CHANNELS, tissues=TISSUES) -> Path:
    """Write Task01 with one labelled case and one for testing, whose channels hold 100, 101, 102 and 103."""
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
    """The value of each image of a case; each has only one."""
    values = {role: np.unique(volume.data).tolist() for role, volume in read_images(case).items()}
    assert all(len(found) == 1 for found in values.values())
    return {role: found[0] for role, found in values.items()}


def test_each_modality_of_a_decathlon_case_becomes_a_file(tmp_path):
    write_decathlon(tmp_path)
    labelled, other = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert (labelled.case, labelled.scheme, labelled.labelled) == ("BRATS_001", LabelScheme.MSD, True)
    assert (other.case, other.labelled) == ("BRATS_485", False)
    flair, t1, t1ce, t2 = 100, 101, 102, 103
    for case in (labelled, other):
        assert brightness(case) == {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
        assert case.files["t1"].name == f"{case.case}_t1.nii.gz"
    np.testing.assert_array_equal(read_volume(labelled.files["t2"]).grid.affine, GRID.affine)


def test_folders_of_the_decathlon_may_be_links(tmp_path):
    task = write_decathlon(tmp_path / "elsewhere")
    (tmp_path / "cohort").mkdir()
    for part in task.iterdir():
        (tmp_path / "cohort" / part.name).symlink_to(part)
    labelled, other = find_cases(tmp_path / "cohort")
    assert (labelled.case, labelled.labelled, other.case) == ("BRATS_001", True, "BRATS_485")


def test_dataset_json_gives_the_order_of_channels(tmp_path):
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


def test_each_folder_is_visited_once_even_if_links_form_a_circle(tmp_path):
    write_case(tmp_path / "elsewhere", "A", UNTIL_2021)
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    (cohort / "A").symlink_to(tmp_path / "elsewhere" / "A")
    (cohort / "circle").symlink_to(cohort)
    (case,) = find_cases(cohort)
    assert case.case == "A"


def test_both_namings_and_grades(tmp_path):
    touch_case(tmp_path / "HGG" / "Brats18_A", "Brats18_A", UNTIL_2021)
    touch_case(tmp_path / "LGG" / "Brats18_B", "Brats18_B", UNTIL_2021_IMAGES)
    touch_case(tmp_path / "BraTS-GLI-00001-000", "BraTS-GLI-00001-000", SINCE_2023)
    new, high, low = find_cases(tmp_path)
    assert (new.case, new.patient, new.scheme) == (
        "BraTS-GLI-00001-000",
        "BraTS-GLI-00001",
        LabelScheme.BRATS2023,
    )
    assert (high.grade, high.labelled, high.scheme) == ("HGG", True, LabelScheme.BRATS2021)
    assert (low.grade, low.labelled) == ("LGG", False)
    assert set(new.files) == set(high.files) == {"t1", "t1ce", "t2", "flair", "seg"}
    assert new.files["flair"].name == "BraTS-GLI-00001-000-t2f.nii.gz"


def test_one_case_folder_is_a_cohort_of_one(tmp_path):
    touch_case(tmp_path, "x", UNTIL_2021, suffix=".nii")
    (case,) = find_cases(tmp_path)
    assert case.case == "x"


@pytest.mark.parametrize("name", ["x_t1.txt", "_t1.nii.gz", "x_adc.nii.gz", ".x_t1.nii.gz", "seg.nii.gz"])
def test_other_files_are_no_case(name):
    assert parse_file_name(name) is None


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(CohortError, match="nowhere: expected a folder"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "scan.dcm").write_bytes(b"")
    known = r"BraTS 2017 to 2021 \(CASE.*; BraTS 2023 and 2024 .*; MSD Task01_BrainTumour"
    with pytest.raises(
        CohortError, match=rf"no case found among 1 files \(scan\.dcm\); known layouts: {known}"
    ):
        find_cases(tmp_path)
    touch_case(tmp_path / "a" / "x", "x", UNTIL_2021)
    touch_case(tmp_path / "b" / "x", "x", UNTIL_2021)
    with pytest.raises(CohortError, match="x: two cases have this name"):
        find_cases(tmp_path)
