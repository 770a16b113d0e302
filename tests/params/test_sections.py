"""Invalid settings of one section are one line that names the field."""

import pytest

from glioseg.params import load_params
from glioseg.params.settings_file import ParamsError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__epoch": 3}, "params.yaml: train.epoch: Extra inputs are not permitted"),
        ({"train__epochs": 0}, "params.yaml: train.epochs: Input should be greater than or equal to 1"),
        ({"data__source": "folder"}, "params.yaml: data: source: folder needs data.folder"),
        (
            {"data__scheme": "brats1999"},
            "params.yaml: data.scheme: Input should be 'brats2021', 'brats2023', 'brats2024', 'brats_ped'",
        ),
        (
            {"data__scheme": {1: "ET", 2: "CYST"}},
            "params.yaml: data.scheme: expected one of BACKGROUND, NCR, ED, ET for value 2, got CYST",
        ),
        (
            {"data__scheme": {1: "ET", 3: "NCR"}},
            "params.yaml: data.scheme: expected a value for each of NCR, ED, ET, missing ED",
        ),
        ({"data__scheme": {0: "ET"}}, "data.scheme: expected label values from 1 to 255, each once, got '0'"),
        ({"data__pattern": {"t1": "P_*_T1.nii"}}, "params.yaml: data.pattern.t1: String should match"),
        (
            {"data__pattern": {"adc": "{case}_ADC.nii"}},
            "data: pattern: expected roles among t1, t1ce, t2, flair, seg",
        ),
        ({"data__pattern": {"seg": "{case}.nii"}}, "at least one of them a modality, got seg"),
        (
            {"train__outputs": ["grade"]},
            "train: outputs: expected segmentation, and each once, got",
        ),
        ({"train__outputs": ["segmentation", "sex"]}, "train.outputs.1: Input should be 'segmentation'"),
        (
            {"compute__cluster": "head:8786"},
            "compute.cluster: expected processes, threads, slurm or a scheduler's address such as tcp://",
        ),
        (
            {"compute__cluster": "slurm"},
            "compute: workers: expected the number of workers to request from Slurm, got null",
        ),
        ({"compute__workers": 0}, "compute.workers: Input should be greater than or equal to 1"),
        (
            {"train__batch_size": 6, "train__devices": 4},
            "train: devices: expected auto or a number that divides batch_size 6, got 4",
        ),
        ({"train__devices": 0}, "train.devices"),
        ({"train__devices": "all"}, "train.devices"),
        (
            {"split__test_fraction": 0.9},
            "params.yaml: split: expected test_fraction + validation_fraction below 1, the rest is to"
            " train on, got 0.9 + 0.125",
        ),
        (
            {"split__test_fraction": 0.7, "split__validation_fraction": 0.3},
            "below 1, the rest is to train on",
        ),
        ({"split__test_fraction": 1.0}, "params.yaml: split.test_fraction: Input should be less than 1"),
        ({"split__validation_fraction": 0}, "split.validation_fraction: Input should be greater than 0"),
        (
            {"register__margin": 0.0},
            "params.yaml: register.margin: Input should be a valid dictionary",
        ),
        ({"register__confidence": 1.0}, "register.confidence: Input should be less than 1"),
        (
            {"register__limits": {"calibration_error": 0, "case_s": None, "memory_gb": None}},
            "register.limits.calibration_error: Input should be greater than 0",
        ),
        ({"inference__min_et_ml": []}, "inference.min_et_ml: Tuple should have at least 1 item"),
    ],
)
def test_an_invalid_setting_is_one_line_that_names_the_field(write, changes, message):
    with pytest.raises(ParamsError) as error:
        load_params(write(**changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_home_folder_stands_for_a_tilde(write, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    given = {"data__folder": "~/scans", "data__patients": "~/p.csv", "train__init_from": "~/w.keras"}
    params = load_params(write(**given))
    assert [str(params.data.folder), str(params.data.patients)] == ["/home/ada/scans", "/home/ada/p.csv"]
    assert params.train.init_from == "/home/ada/w.keras"
