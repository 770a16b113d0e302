"""Tags of a run, and the line that describes a machine."""

import hashlib
import platform

import yaml

from glioseg.core.fingerprint import files_fingerprint, installed_version
from glioseg.mlops.tracking import run_tags
from tests.helpers.projects import ROOT


def test_the_cohort_is_named_after_its_folder_or_phantoms(tmp_path):
    assert run_tags.cohort_name(tmp_path) == "unknown"
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for data, name in (
        ({"source": "phantom"}, "phantoms"),
        ({"source": "folder", "folder": "/scans/BraTS2021/"}, "BraTS2021"),
    ):
        params["data"] = data
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        assert run_tags.cohort_name(tmp_path) == name


def test_tags_name_the_environment_and_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "witty-mole")
    (tmp_path / "requirements.lock").write_bytes(b"x")
    tags = run_tags.run_tags("train", tmp_path)
    assert tags["stage"] == "train"
    assert tags["dvc_experiment"] == "witty-mole"
    assert tags["environment"] == files_fingerprint([tmp_path / "requirements.lock"], folder=tmp_path)
    assert len(tags["environment"]) == len(hashlib.sha256().hexdigest())


def test_the_machine_s_line_names_what_numbers_depend_on(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: An Abacus 7\n")
    (tmp_path / "gpus" / "0").mkdir(parents=True)
    monkeypatch.setattr(run_tags, "CPUS", tmp_path / "cpuinfo")
    monkeypatch.setattr(run_tags, "GPUS", tmp_path / "gpus")
    plain = run_tags.describe_machine()
    assert ", An Abacus 7, " in plain
    assert f"Python {platform.python_version()}, tensorflow {installed_version('tensorflow')}, " in plain
    assert not run_tags.has_gpu(plain)
    (tmp_path / "gpus" / "0" / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    assert ", GPU NVIDIA H100, " in run_tags.describe_machine()
    assert run_tags.has_gpu(run_tags.describe_machine())


def test_a_machine_without_proc_as_macos_is_described(monkeypatch, tmp_path):
    monkeypatch.setattr(run_tags, "CPUS", tmp_path / "none")
    monkeypatch.setattr(run_tags, "GPUS", tmp_path / "none")
    names = {"system": "Darwin", "machine": "arm64", "processor": "arm"}
    for name, value in names.items():
        monkeypatch.setattr(platform, name, lambda value=value: value)
    monkeypatch.setattr(run_tags, "usable_cores", lambda: 8)
    assert run_tags.describe_machine().startswith("Darwin arm64, arm, cores: 8, Python 3.")
