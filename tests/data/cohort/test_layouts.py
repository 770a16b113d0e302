"""Cases are found in small folders of every layout of BraTS and the Decathlon."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.nifti import Volume, VolumeError, read_volume, write_volume
from glioseg.data.cohort.cases import Case, CohortError, read_images
from glioseg.data.cohort.datasets import LayoutError
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.cohort.layouts import find_cases, named_case, search_folder
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
    stack[-1] = 0  # background
    labels = np.zeros(GRID.shape, np.uint8)
    labels.flat[:4] = range(4)
    write_stack(task / "imagesTr" / "BRATS_001.nii.gz", stack)
    write_stack(task / "imagesTs" / "BRATS_485.nii.gz", stack)
    write_volume(task / "labelsTr" / "BRATS_001.nii.gz", Volume(labels, GRID))
    (task / "imagesTr" / "._BRATS_001.nii.gz").write_bytes(b"left over by macOS")
    (task / "dataset.json").write_text(json.dumps({"modality": channels, "labels": tissues}))
    return task


def brightness(case: Case) -> dict[str, int]:
    """The value of each image of a case; each has only one beside its background."""
    images = read_images(case)
    values = {role: np.unique(volume.data[volume.data != 0]).tolist() for role, volume in images.items()}
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


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(CohortError, match="nowhere: expected a folder"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "scan.mha").write_bytes(b"")
    expected = (
        r"no case found among 1 files \(scan\.mha\); \S+scan\.mha: not read: not a NIfTI file: .*\.nii\.gz;"
        r" known: t1: t1, t1n, .*--t1 … --flair; MSD Task01_BrainTumour .*"
    )
    with pytest.raises(CohortError, match=expected):
        find_cases(tmp_path)
    with pytest.raises(CohortError, match=r"scan\.mha: expected a folder of cases, got a file: .*--t1 …"):
        find_cases(tmp_path / "scan.mha")


DICOM = bytes(128) + b"DICM"


@pytest.mark.parametrize("name", ["1.dcm", "slice.IMA", "DICOMDIR", "IM0001", "1.2.840.113619.2"])
def test_dicom_is_named_by_its_name_or_its_content(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if "dcm" in name else DICOM)
    with pytest.raises(CohortError, match=r": expected NIfTI files, got only DICOM \(1 files\): .*dcm2niix$"):
        find_cases(tmp_path)
    with pytest.raises(CohortError, match=r"expected a folder of cases, got a file: DICOM: .*dcm2niix$"):
        find_cases(tmp_path / name)
    with pytest.raises(CohortError, match=rf"{name}: --t1: .* got DICOM: .*dcm2niix$"):
        named_case({"t1": tmp_path / name})
    touch(tmp_path, "x_t1.nii.gz", "notes", "2024")
    (line,) = search_folder(tmp_path).lines
    assert line.startswith(f"{tmp_path / name}: not read: DICOM: convert the series to NIfTI")


def test_a_name_that_a_download_changed_is_named(tmp_path):
    touch(tmp_path, "x_t1.nii.gz", "x_t1ce.nii (1).gz", "x_t2.nii.gz.part", "x_nii.txt")
    assert [item.file.name for item in search_folder(tmp_path).unread] == [
        "x_t1ce.nii (1).gz",
        "x_t2.nii.gz.part",
    ]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def roles(root: Path, case: Case) -> dict[str, str]:
    return {role: str(file.relative_to(root)) for role, file in case.files.items()}


def test_one_name_in_two_folders_makes_two_cases_named_after_them(tmp_path):
    touch_case(tmp_path / "a" / "x", "x", UNTIL_2021)
    touch_case(tmp_path / "b" / "x", "x", UNTIL_2021)
    touch_case(tmp_path / "b" / "y", "y", UNTIL_2021)
    search = search_folder(tmp_path)
    assert [case.case for case in search.cases] == ["a_x", "b_x", "y"]
    assert roles(tmp_path, search.cases[1])["t1"] == "b/x/x_t1.nii.gz"
    assert search.lines == ["x: in 2 folders: the cases are called a_x, b_x"]


def test_copies_of_a_public_case_keep_its_patient_grade_and_table(tmp_path):
    for folder in ("HGG/a", "HGG/b"):
        touch_case(tmp_path / folder, "Brats18_A", UNTIL_2021)
    write_table(tmp_path / "survival_data.csv", "BraTS18ID,Age,Survival", "Brats18_A,60,300")
    for case in find_cases(tmp_path):
        assert (case.patient, case.grade, case.age) == ("Brats18_A", "HGG", 60)


def test_a_clash_of_the_new_name_is_an_error(tmp_path):
    for folder, name in (("a", "x"), ("b", "x"), ("c", "a_x")):
        touch_case(tmp_path / folder, name, UNTIL_2021)
    with pytest.raises(CohortError, match="a_x: two cases have this name"):
        find_cases(tmp_path)


UCSF = (
    "ADC",
    "ASL",
    "DTI_eddy_FA",
    "DWI",
    "FLAIR",
    "FLAIR_bias",
    "SWI",
    "T1",
    "T1_bias",
    "T1c",
    "T1c_bias",
    "T2",
)
UCSF_MASKS = ("brain_segmentation", "brain_parenchyma_segmentation", "tumor_segmentation")


def test_ucsf_pdgm_is_read_and_its_other_series_are_one_line(tmp_path):
    for number in ("0004", "0005"):
        folder = f"UCSF-PDGM-{number}_nifti/UCSF-PDGM-{number}"
        touch(tmp_path, *(f"{folder}_{ending}.nii.gz" for ending in (*UCSF, *UCSF_MASKS)))
    search = search_folder(tmp_path)
    first, _ = search.cases
    place = "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004"
    assert first.case == first.patient == "UCSF-PDGM-0004"
    assert roles(tmp_path, first) == {
        "t1": f"{place}_T1.nii.gz",
        "t1ce": f"{place}_T1c.nii.gz",
        "t2": f"{place}_T2.nii.gz",
        "flair": f"{place}_FLAIR.nii.gz",
        "seg": f"{place}_tumor_segmentation.nii.gz",
    }
    (line,) = search.lines
    # 15 endings of each case, of which 5 are read.
    assert line.startswith("20 files not read: no role: *_ADC.nii.gz (2), ")
    assert "*_brain_segmentation.nii.gz (2)" in line


def test_upenn_gbm_keeps_segmentations_in_a_folder_of_their_own(tmp_path):
    case = "UPENN-GBM-00001_11"
    images = [f"images_structural/{case}/{case}_{end}.nii.gz" for end in ("T1", "T1GD", "T2", "FLAIR")]
    truth, machine = f"images_segm/{case}_segm.nii.gz", f"automated_segm/{case}_automated_approx_segm.nii.gz"
    other = "images_segm/UPENN-GBM-00002_11_segm.nii.gz"
    touch(tmp_path, *images, truth, machine, other)
    search = search_folder(tmp_path)
    (found,) = search.cases
    assert roles(tmp_path, found) == dict(zip(("t1", "t1ce", "t2", "flair"), images, strict=True)) | {
        "seg": truth
    }
    assert found.patient == "UPENN-GBM-00001"
    assert {str(item.file.relative_to(tmp_path)): item.reason for item in search.unread} == {
        machine: "no role",
        other: "a segmentation without images of its case",
    }


def test_bids(tmp_path):
    anat = "sub-01/ses-1/anat/sub-01_ses-1"
    truth = f"derivatives/truth/{anat}_space-T1w_label-tumor_dseg.nii.gz"
    brain = f"derivatives/truth/{anat}_desc-brain_mask.nii.gz"
    names = {"t1": "T1w", "t1ce": "ce-gadolinium_T1w", "t2": "T2w", "flair": "FLAIR"}
    images = {role: f"{anat}_{name}.nii.gz" for role, name in names.items()}
    touch(tmp_path, *images.values(), truth, brain, "sub-02/anat/sub-02_ce-GD_T1w.nii.gz")
    search = search_folder(tmp_path)
    first, second = search.cases
    assert (first.case, first.patient) == ("sub-01_ses-1", "sub-01")
    assert roles(tmp_path, first) == images | {"seg": truth}
    assert (second.case, set(second.files)) == ("sub-02", {"t1ce"})
    assert [item.file.name for item in search.unread] == ["sub-01_ses-1_desc-brain_mask.nii.gz"]


def test_a_folder_a_modality(tmp_path):
    folders = {"t1": "T1", "t1ce": "t1ce", "t2": "T2", "flair": "FLAIR", "seg": "seg"}
    files = {role: f"{folder}/P01.nii.gz" for role, folder in folders.items()}
    touch(tmp_path, *files.values(), "T1/P01_mask.nii.gz", "T1/P02.NII.GZ", "flair2/P02.nii.gz")
    search = search_folder(tmp_path)
    first, second = search.cases
    assert (first.case, roles(tmp_path, first)) == ("P01", files)
    assert roles(tmp_path, second) == {"t1": "T1/P02.NII.GZ"}
    assert [item.file.name for item in search.unread] == ["P01_mask.nii.gz", "P02.nii.gz"]


def test_a_folder_a_modality_in_each_patient(tmp_path):
    touch(
        tmp_path,
        *(f"{p}/{role}/scan.nii.gz" for p in ("P01", "P02") for role in ("t1", "T1c", "t2", "flair")),
    )
    assert [case.case for case in find_cases(tmp_path)] == ["P01_scan", "P02_scan"]


def test_one_file_in_each_folder_of_a_modality_is_a_case_whatever_its_name(tmp_path):
    folders = {"t1": "T1", "t1ce": "T1c", "t2": "T2", "flair": "FLAIR", "seg": "seg"}
    numbers = ("003", "007", "5_T2", "dark", "truth")
    files = {role: f"{folder}/{n}.nii.gz" for (role, folder), n in zip(folders.items(), numbers, strict=True)}
    for patient in ("P01", "P02"):
        touch(tmp_path / patient, *files.values())
    search = search_folder(tmp_path)
    assert [case.case for case in search.cases] == ["P01", "P02"]
    assert roles(tmp_path / "P01", search.cases[0]) == files
    assert search.lines == [
        f"{tmp_path}/P01, {tmp_path}/P02: one file in each folder of a modality, of different names:"
        " read as one case"
    ]
    (alone,) = find_cases(tmp_path / "P01")
    assert (alone.case, len(alone.files)) == ("P01", 5)


def test_several_files_of_different_names_in_folders_of_a_modality_are_named(tmp_path):
    touch(tmp_path, "T1/001.nii.gz", "T1/002.nii.gz", "T1c/003.nii.gz", "T1c/004.nii.gz")
    search = search_folder(tmp_path)
    assert [set(case.files) for case in search.cases] == [{"t1"}, {"t1"}, {"t1ce"}, {"t1ce"}]
    (line,) = search.lines
    assert line.startswith(f"{tmp_path}: several files in the folders of a modality, without a common name")


def test_a_common_name_in_folders_of_a_modality_tells_the_cases(tmp_path):
    touch(tmp_path, "T1/P01.nii.gz", "T1ce/P01.nii.gz", "T2/P02.nii.gz")
    search = search_folder(tmp_path)
    assert [(case.case, set(case.files)) for case in search.cases] == [
        ("P01", {"t1", "t1ce"}),
        ("P02", {"t2"}),
    ]
    assert search.lines == []


def test_folders_t1_and_t2_of_two_visits_are_two_cases(tmp_path):
    for visit in ("T1", "T2"):
        touch(tmp_path, *(f"P01/{visit}/{role}.nii.gz" for role in ("t1", "t1ce", "t2", "flair")))
    one, two = find_cases(tmp_path)
    assert (one.case, two.case) == ("T1", "T2")
    assert roles(tmp_path, two)["t1"] == "P01/T2/t1.nii.gz"


def test_predictions_of_glioseg_are_no_truth(tmp_path):
    touch_case(tmp_path, "x", UNTIL_2021_IMAGES)
    touch(tmp_path, "seg/x.nii.gz", "seg/summary.csv")
    (case,) = find_cases(tmp_path)
    assert not case.labelled


def write_nnunet(root: Path, **record: object) -> Path:
    touch(root, *(f"imagesTr/x_000{number}.nii.gz" for number in range(4)), "labelsTr/x.nii.gz")
    if record:
        (root / "dataset.json").write_text(json.dumps(record))
    return root


BRATS_REGIONS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}


def test_nnunet_with_its_dataset_json(tmp_path):
    channels = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    write_nnunet(tmp_path, channel_names=channels, labels=BRATS_REGIONS)
    for folder in (tmp_path, tmp_path / "imagesTr"):
        search = search_folder(folder)
        (case,) = search.cases
        assert case.files["flair"].name == "x_0000.nii.gz"
        assert case.files["t1ce"].name == "x_0002.nii.gz"
        assert (case.case, case.scheme, search.lines) == ("x", LabelScheme.MSD, [])
        assert case.labelled is (folder == tmp_path)
    write_nnunet(tmp_path, channel_names={"0": "CT"}, labels=BRATS_REGIONS)
    with pytest.raises(LayoutError, match=r"dataset\.json: channel_names: expected T1, .*, got CT"):
        find_cases(tmp_path)


def test_nnunet_without_dataset_json_says_what_is_assumed(tmp_path):
    touch(write_nnunet(tmp_path), "imagesTr/y_0000.nii.gz")
    search = search_folder(tmp_path)
    (case,) = search.cases
    assert [case.files[role].name[-8] for role in ("t1", "t1ce", "t2", "flair")] == ["0", "1", "2", "3"]
    assert "assumed nnU-Net's order for BraTS, 0000 T1, 0001 T1ce, 0002 T2, 0003 FLAIR" in search.lines[0]
    assert [item.file.name for item in search.unread] == ["y_0000.nii.gz"]


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (BRATS_REGIONS, LabelScheme.MSD),
        ({"background": 0, "necrosis": 1, "edema": 2, "enhancing": 3}, LabelScheme.BRATS2023),
        ({"0": "background", "1": "NCR", "2": "ED", "4": "ET"}, LabelScheme.BRATS2021),
        ({"background": 0, "NETC": 1, "edema": 2, "ET": 3, "RC": 4}, None),
        ({"background": 0, "ncr": 1, "edema": 2, "ET": 3, "cavity": 4}, LabelScheme.BRATS2024),
    ],
)
def test_the_label_scheme_of_nnunets_dataset_json(tmp_path, labels, scheme):
    write_nnunet(tmp_path, modality={"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}, labels=labels)
    search = search_folder(tmp_path)
    assert search.cases[0].scheme is (scheme or LabelScheme.MSD)
    assert any("assumed msd" in line for line in search.lines) is (scheme is None)


def test_the_misnamed_segmentation_of_brats_2020_is_read(tmp_path):
    touch_case(tmp_path / "BraTS20_Training_355", "BraTS20_Training_355", UNTIL_2021_IMAGES, suffix=".nii")
    touch(tmp_path, "BraTS20_Training_355/W39_1998.09.19_Segm.nii")
    (case,) = find_cases(tmp_path)
    assert (case.case, case.files["seg"].name) == ("BraTS20_Training_355", "W39_1998.09.19_Segm.nii")


def test_a_segmentation_of_another_name_is_named_as_unread(tmp_path):
    touch_case(tmp_path / "P01", "P01", UNTIL_2021_IMAGES)
    touch(tmp_path, "P01/p1_Seg.nii.gz")
    search = search_folder(tmp_path)
    assert [case.case for case in search.cases] == ["P01"]
    assert search.lines == [
        f"{tmp_path}/P01/p1_Seg.nii.gz: not read: a segmentation without images of its case"
    ]


def test_masks_and_predictions_beside_a_case_are_no_cases(tmp_path):
    touch_case(tmp_path, "x", UNTIL_2021)
    others = ("brain_mask_seg", "mask", "x_Prediction", "x_prediction_seg", "x_entropy", "._x_t1")
    touch(tmp_path, *(f"{name}.nii.gz" for name in others), "x_t1.mha")
    search = search_folder(tmp_path)
    assert [case.case for case in search.cases] == ["x"]
    assert {item.file.name for item in search.unread} == {*(f"{n}.nii.gz" for n in others[:-1]), "x_t1.mha"}


def test_the_segmentation_of_images_called_brain_is_read(tmp_path):
    touch_case(tmp_path, "P01_brain", UNTIL_2021)
    (case,) = find_cases(tmp_path)
    assert (case.case, case.labelled) == ("P01_brain", True)


def test_bare_names_belong_to_the_folder_or_to_its_only_case(tmp_path):
    touch(tmp_path, *(f"P01/{name}.nii.gz" for name in ("T1", "t1c", "T2", "FLAIR", "seg")))
    touch(tmp_path, "P02_nifti/P02_T1.nii.gz", "P02_nifti/seg.nii.gz")
    one, two = find_cases(tmp_path)
    assert (one.case, set(one.files)) == ("P01", {"t1", "t1ce", "t2", "flair", "seg"})
    assert (two.case, set(two.files)) == ("P02", {"t1", "seg"})


def test_t2_flair_is_the_flair_of_a_case_or_of_its_second_visit(tmp_path):
    touch(
        tmp_path,
        "a/P01_T1.nii",
        "a/P01_T2.nii",
        "a/P01_T2_FLAIR.nii",
        "b/P02_T2_flair.nii",
        "b/P02_T2_t1.nii",
    )
    one, two = find_cases(tmp_path)
    assert (one.case, set(one.files)) == ("P01", {"t1", "t2", "flair"})
    assert (two.case, set(two.files)) == ("P02_T2", {"t1", "flair"})


def test_a_case_whose_name_ends_like_a_role_keeps_its_files(tmp_path):
    for name in ("Odd case of a tumour", "x_T1w", "two\nlines"):
        touch_case(tmp_path / "a", name, {"t2": "_t2", "flair": "_flair", "seg": "_seg"})
    with pytest.raises(CohortError, match=r"'two\\nlines': expected a name that can be printed"):
        find_cases(tmp_path)
    for file in (tmp_path / "a").glob("two*"):
        file.rename(file.with_name(file.name[:-11] + "odd.nii.gz"))
    search = search_folder(tmp_path)
    assert [(case.case, len(case.files)) for case in search.cases] == [
        ("Odd case of a tumour", 3),
        ("x_T1w", 3),
    ]
    assert all(line.isprintable() for line in search.lines)


@pytest.mark.parametrize(("one", "other"), [("x_T1c", "x_T1GD"), ("x_t1", "x-t1n"), ("x_seg", "x_segm")])
def test_two_files_for_a_role_are_both_named(tmp_path, one, other):
    touch(tmp_path, "x_t2.nii", f"{one}.nii.gz", f"{other}.nii.gz")
    expected = rf"x/\w+: expected one file, got (?=.*{one}\.nii)(?=.*{other}\.nii)"
    with pytest.raises(CohortError, match=expected):
        find_cases(tmp_path)


def test_a_segmentation_that_two_folders_could_own_is_an_error(tmp_path):
    touch(tmp_path, "a/x_t1.nii", "b/x_t1.nii", "truth/x_seg.nii")
    with pytest.raises(
        CohortError, match=r"x: expected one case for the segmentation in .*truth, got .*a and .*b"
    ):
        find_cases(tmp_path)
    touch(tmp_path, "c/1/x_t1.nii", "c/2/x_seg.nii")
    (tmp_path / "truth" / "x_seg.nii").unlink()
    assert [case.labelled for case in find_cases(tmp_path)] == [False, False, True]


def test_named_files_are_a_case(tmp_path):
    touch(tmp_path, "003 ax.nii.gz", "y-t2f.nii.gz")
    files = {"t1": tmp_path / "003 ax.nii.gz", "flair": tmp_path / "y-t2f.nii.gz"}
    case = named_case(files)
    assert (case.case, case.files, case.scheme) == ("y", files, LabelScheme.BRATS2023)
    touch(tmp_path, "P01/T1.nii")
    with pytest.raises(CohortError, match=r"P01: --t1: expected a NIfTI file, got a folder"):
        named_case({"t1": tmp_path / "P01"})
    assert named_case({"t1": tmp_path / "P01" / "T1.nii"}).case == "P01"
    with pytest.raises(CohortError, match=r"ax\.nii\.gz: expected one modality, got --t1 and --t2"):
        named_case(files | {"t2": files["t1"]})
    with pytest.raises(CohortError, match=r"none\.nii: --t1: expected a NIfTI file, got none"):
        named_case({"t1": tmp_path / "none.nii"})
