"""Facts that are read from a project's files, and the reasons of those that are missing."""

import json

import pytest
import yaml

from glioseg.core.errors import GliosegError
from glioseg.mlops.provenance.collectors import MissingFactError, collect, environment, parameters, study


def failing(error):
    def read(root):
        raise error

    return read


def test_each_failure_becomes_the_reason_of_its_own_fact(tmp_path):
    collectors = {
        "folder": lambda root: root.name,
        "key": failing(KeyError("run_id")),
        "error": failing(GliosegError("params.yaml: not YAML")),
        "file": failing(FileNotFoundError("no such file")),
    }
    facts, missing = collect(tmp_path, collectors)
    assert facts == {"folder": tmp_path.name}
    assert missing == {
        "key": "a file has no 'run_id'",
        "error": "params.yaml: not YAML",
        "file": "no such file",
    }


def test_a_bug_is_not_a_missing_fact(tmp_path):
    with pytest.raises(ZeroDivisionError):
        collect(tmp_path, {"bug": lambda root: 1 // 0})


def write_project(root, *, trials, best):
    settings = {"network": {"depth": 4}, "train": {"dropout": 0.5, "epochs": 2}, "tune": {"trials": trials}}
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    (root / "reports" / "tune").mkdir(parents=True)
    (root / "reports" / "tune" / "best_params.json").write_text(json.dumps(best))
    (root / "reports" / "tune" / "study.json").write_text(json.dumps({"study": "study-1"}))


def test_the_study_s_best_values_replace_the_settings_of_their_section(tmp_path):
    write_project(tmp_path, trials=3, best={"depth": 3, "dropout": 0.25})
    used = parameters(tmp_path)["used"]
    assert used["network"] == {"depth": 3}
    assert used["train"] == {"dropout": 0.25, "epochs": 2}
    assert study(tmp_path) == {"study": "study-1"}


def test_without_trials_there_is_no_study(tmp_path):
    write_project(tmp_path, trials=0, best={})
    assert study(tmp_path) is None


def test_a_project_without_a_lock_file_has_no_environment(tmp_path):
    with pytest.raises(MissingFactError, match=r"there was no requirements\.lock"):
        environment(tmp_path)
