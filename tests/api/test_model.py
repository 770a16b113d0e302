import nibabel as nib
import numpy as np
import pytest

import glioseg
from glioseg.core.modalities import MODALITIES
from tests.helpers.predicting import GRID, make_scan, use_formula, write_scans


@pytest.fixture
def models(monkeypatch):
    return use_formula(monkeypatch)


def test_a_folder_a_file_an_image_and_an_array_give_the_same_labels(models, tmp_path):
    write_scans(tmp_path, "one", MODALITIES)
    files = {name: tmp_path / "one" / f"one_{name}.nii.gz" for name in MODALITIES}
    arrays = {name: (make_scan(seed), GRID.affine) for seed, name in enumerate(MODALITIES)}
    mixed = files | {"t1ce": nib.load(files["t1ce"]), "t2": arrays["t2"], "flair": str(files["flair"])}
    results = [glioseg.segment(tmp_path / "one")]
    results += [glioseg.segment(images=images) for images in (files, arrays, mixed)]
    for result in results:
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_allclose(result.affine, GRID.affine)
    assert np.unique(results[0].labels).tolist() == [0, 1]
    assert [result.case for result in results] == ["one", "one", "case", "one"]


def test_many_cases_come_one_after_the_other_and_a_rejected_one_is_a_warning(models, tmp_path):
    for name in ("a", "b", "c"):
        write_scans(tmp_path, name, MODALITIES)
    (tmp_path / "b" / "b_t1.nii.gz").write_bytes(b"broken")
    model = glioseg.load_model()
    with pytest.warns(glioseg.RejectedCaseWarning, match=r"^b/t1 \(b_t1.nii.gz\): readable: "):
        found = [result.case for result in model.segment_many(tmp_path)]
    assert found == ["a", "c"]
    assert [result.case for result in model.segment_many([tmp_path / "c", str(tmp_path / "a")])] == ["c", "a"]


def test_a_case_that_breaks_the_contract_is_an_error_with_its_findings(models, tmp_path):
    write_scans(tmp_path, "b", MODALITIES)
    (tmp_path / "b" / "b_t1.nii.gz").write_bytes(b"broken")
    with pytest.raises(glioseg.RejectedCaseError) as caught:
        glioseg.segment(tmp_path / "b")
    assert caught.value.case == "b"
    assert (caught.value.findings[0].role, caught.value.findings[0].severity) == ("t1", "critical")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "^segment: expected a folder, or images of modalities, got neither$"),
        (
            {"case": ".", "images": {"t1": (make_scan(), GRID.affine)}},
            "^segment: expected a folder, or images of modalities, got both$",
        ),
        (
            {"images": {"t1": (make_scan(), GRID.affine), "dwi": (make_scan(), GRID.affine)}},
            "^images: expected t1, t1ce, t2, flair, got dwi$",
        ),
        ({"images": {"t1": "missing.nii.gz"}}, "^missing.nii.gz: --t1: expected a NIfTI file, got none$"),
    ],
)
def test_what_cannot_be_segmented_is_named(models, given, message):
    with pytest.raises(glioseg.GliosegError, match=message):
        glioseg.segment(**given)


def test_a_folder_of_several_cases_is_refused_with_the_call_that_takes_them(models, tmp_path):
    for name in ("a", "b"):
        write_scans(tmp_path, name, MODALITIES)
    with pytest.raises(glioseg.GliosegError, match=r"expected one case, got 2; .*segment_many"):
        glioseg.segment(tmp_path)


def test_the_default_model_is_the_champion_and_several_are_an_ensemble(models):
    assert glioseg.load_model().name == "models:/glioseg@champion"
    assert glioseg.load_model(["builtin", "x"]).name == "builtin x"
    assert [str(folder) for folder in models["folders"]] == ["folder of builtin", "folder of x"]


def test_mirror_replaces_the_setting_of_the_model(models):
    assert glioseg.load_model(mirror=False).network.settings.mirror is False
    assert glioseg.load_model(mirror=True).network.settings.mirror is True
