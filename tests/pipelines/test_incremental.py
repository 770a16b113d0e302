"""A changed case re-runs one case only: the data stages under DVC, on a small cohort in a folder."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.projects import command, environment, make_project, write_case

CASES = 4


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_project(tmp_path_factory.mktemp("incremental"), cases=CASES)
    repro(home)
    return home


def repro(home: Path) -> list[str]:
    """Run the data stages; returns the lines that name the work done."""
    result = command(home, "dvc", "repro", "validate_cropped")
    assert result.returncode == 0, result.stdout + result.stderr
    return [line.partition(",")[0] for line in result.stderr.splitlines() if "about 0 s left" in line] + [
        line for line in result.stdout.splitlines() if line.startswith("Running")
    ]


def files(home: Path) -> dict[str, int]:
    """Every file of the raw and cropped cases and its inode."""
    return {
        str(file.relative_to(home)): file.stat().st_ino
        for folder in ("raw", "cropped")
        for file in (home / "data" / folder).glob("*/*")
    }


def test_only_an_added_case_is_processed(project: Path) -> None:
    before = files(project)
    write_case(project / "scans", CASES)
    shutil.rmtree(project / "scans" / "Patient 2")
    assert repro(project)[:6] == [
        "copy cases: 1/1",
        "read files: 5/5",
        "measure volumes: 1/1",
        "crop: 1/1",
        "read files: 5/5",
        "measure crops: 1/1",
    ]
    after = files(project)
    assert {name for name in before if name not in after} == {name for name in before if "Patient 2" in name}
    assert {name for name in after if name not in before} == {
        name.replace("Patient 1", f"Patient {CASES}") for name in before if "Patient 1" in name
    }
    assert all(after[name] == inode for name, inode in before.items() if name in after)


def test_data_use_the_disk_once_and_the_users_files_are_unchanged(project: Path) -> None:
    for name in files(project):
        cached = os.stat(project / name)
        assert cached.st_nlink >= 3  # the cohort, DVC's cache, the record
        assert not cached.st_mode & 0o222
    for file in (project / "scans").rglob("*.nii.gz"):
        assert (file.stat().st_nlink, file.stat().st_mode & 0o600) == (1, 0o600)


def test_another_table_of_patients_reruns_its_readers_and_copies_nothing(project: Path) -> None:
    cases = sorted(path.name for path in (project / "scans").iterdir())
    table = project / "patients.csv"
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["data"]["patients"] = "patients.csv"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    stages = ("inventory", "acquire", "validate_raw", "crop", "validate_cropped")
    for patients in (["Ann", *cases[1:]], ["Ann", "Ann", *cases[2:]]):
        rows = [f"{case},{patient}" for case, patient in zip(cases, patients, strict=True)]
        table.write_text("\n".join(["case,patient", *rows]))
        assert repro(project) == [f"Running stage '{stage}':" for stage in stages]
        manifest = pd.read_csv(project / "data/cropped/manifest.csv")
        assert manifest["patient"].tolist() == patients
    assert repro(project) == ["Running stage 'inventory':"]


def test_another_affine_tolerance_crops_again(project: Path) -> None:
    contract = yaml.safe_load((project / "contract.yaml").read_text())
    (project / "contract.yaml").write_text(yaml.safe_dump(contract | {"affine": {"tolerance": 0.01}}))
    assert repro(project)[0] == f"crop: {CASES}/{CASES}"


def test_a_missing_folder_of_scans_changes_nothing(project: Path) -> None:
    away = (project / "scans").rename(project / "away")
    assert repro(project) == ["Running stage 'inventory':"]
    away.rename(project / "scans")


def test_another_margin_crops_again_and_copies_nothing(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["crop"]["margin_vox"] += 1
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    assert repro(project)[:3] == [f"crop: {CASES}/{CASES}", f"read files: {CASES * 5}/{CASES * 5}",
                                  f"measure crops: {CASES}/{CASES}"]  # fmt: skip


def test_a_killed_stage_continues_where_it_stopped(tmp_path: Path) -> None:
    home = make_project(tmp_path / "killed", cases=0)
    params = yaml.safe_load((home / "params.yaml").read_text())
    params["data"], params["phantom"]["cases"] = {"source": "phantom"}, 4
    params["compute"]["cluster"] = "processes"
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    words = [sys.executable, "pipelines/acquire.py"]
    stage = subprocess.Popen(words, cwd=home, env=environment(home), start_new_session=True)
    records = home / "data" / ".records" / "acquire"
    while not list(records.glob("[!.]*")) and stage.poll() is None:
        time.sleep(0.05)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    assert not (home / "data" / "raw").exists()
    done = list(records.glob("[!.]*"))
    assert 0 < len(done) < 4
    again = command(home, *words)
    assert again.returncode == 0, again.stderr
    assert f"make phantoms: {4 - len(done)}/{4 - len(done)}" in again.stderr
    assert len(list((home / "data" / "raw").glob("phantom_*"))) == 4
