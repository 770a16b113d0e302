"""Ctrl-C ends `glioseg predict` with one line at any time, and leaves no process and no partial file."""

import csv
import os
import sys

import keras
import pytest
import yaml

from glioseg.core.nifti import read_volume
from glioseg.models.inference.loading import save_model
from glioseg.models.networks.unet import build_unet, without_deep_supervision
from tests.helpers.clusters import SETTINGS
from tests.helpers.interrupts import started
from tests.helpers.models import make_settings
from tests.helpers.projects import CONTRACT, SHAPE, write_case

CASES = 4
STOPPED = "glioseg predict: stopped: {} of 4 cases are written; run again to go on"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Scans of a few cases, and an untrained network whose forward pass takes a good part of a second."""
    home = tmp_path_factory.mktemp("predict")
    for index in range(CASES):
        write_case(home / "scans", index)
    shape = {"base_filters": 24, "depth": 4, "dropout": 0.0, "heads": "plain", "deep_supervision": "none"}
    built = build_unet(architecture="seed", outputs=("segmentation",), dtype="float32", **shape)
    (home / "model").mkdir()
    save_model(home / "model", [without_deep_supervision(built)], make_settings(multiple=8, mirror=True))
    (home / "model" / "contract.yaml").write_text(yaml.safe_dump(CONTRACT))
    keras.utils.clear_session()
    return home


def predict(home, out, *words, **variables):
    command = [sys.executable, "-m", "glioseg", "predict", "scans", "-o", str(out), "--model", "model"]
    # JAX, which these tests import, sets a lower level than a user has.
    environment = os.environ | SETTINGS | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    return started([*command, *words], out.with_suffix(".log"), environment=environment, cwd=home)


def written(out):
    """The cases that summary.csv names; each has a file, and every file is whole.

    A worker may finish a case during Ctrl-C: the case has no row then, and is run again the next time.
    """
    if not out.exists():
        return []
    cases = []
    if (out / "summary.csv").exists():
        with (out / "summary.csv").open(newline="") as file:
            cases = [row["case"] for row in csv.DictReader(file)]
    files = {path.name for path in out.iterdir()} - {"summary.csv"}
    assert {f"{case}.nii.gz" for case in cases} <= files
    assert all(read_volume(out / name).data.shape == SHAPE for name in files)
    return cases


@pytest.mark.parametrize(
    "module", ["glioseg.core.entry", "numpy", "pandas", "tensorflow.python.pywrap_tensorflow"]
)
def test_during_imports(home, tmp_path, module):
    with predict(home, tmp_path / "out", PYTHONPROFILEIMPORTTIME="1") as command:
        command.wait_for(f" {module}\n")  # Python names a module once it is imported
        code, lines = command.interrupt(group=False)
    assert code == 130
    assert lines in (["glioseg: stopped"], ["glioseg predict: stopped"], [STOPPED.format(0)])
    assert written(tmp_path / "out") == []


def test_during_a_forward_pass(home, tmp_path):
    with predict(home, tmp_path / "out") as command:
        command.wait_for("Patient 0: ")
        code, lines = command.interrupt(group=False)
    cases = written(tmp_path / "out")
    assert (code, lines) == (130, [STOPPED.format(len(cases))])
    assert 1 <= len(cases) < CASES


def test_while_workers_segment_cases(home, tmp_path):
    with predict(home, tmp_path / "out", "--workers", "2") as command:
        command.wait_for(": WT ")
        code, lines = command.interrupt(group=True)
    cases = written(tmp_path / "out")
    assert (code, lines) == (130, [STOPPED.format(len(cases))])
    assert 1 <= len(cases) < CASES
