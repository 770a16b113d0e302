"""Stage train on two hosts, of which one is killed half-way; processes represent hosts.

Another process trains alone, with the same settings and on the same backend: what it leaves is expected.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.training import distributed
from tests.helpers.toys import NETWORK, TRAIN, write_toy

ROOT = Path(__file__).parents[2]
NAMES = [f"toy{number}" for number in range(5)]
SETTINGS = {"batch_size": 4, "epochs": 8, "steps_per_epoch": 1, "batch_dice": True}
RUN = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT / "src"), "KERAS_BACKEND": "jax"}
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # to compile quickly is better here than well


def make_project(home: Path) -> Path:
    """Write the files that the stage reads, and the stage itself."""
    for number in range(len(NAMES)):
        write_toy(home / "data" / "cropped", number)
    manifest = pd.DataFrame({"case": NAMES, "patient": NAMES, "grade": "", "survival_days": ""})
    manifest.to_csv(home / "data" / "cropped" / "manifest.csv", index=False)
    splits = {"train": NAMES[:4], "validation": NAMES[4:], "test": [], "folds": []}
    (home / "data" / "splits.json").write_text(json.dumps(splits))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["network"] |= NETWORK
    params["train"] |= {**TRAIN, "outputs": ["segmentation"], "patch_shape": [8, 8, 8], **SETTINGS}
    params["tune"]["space"] = {}
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    (home / "reports" / "tune").mkdir(parents=True)
    (home / "reports" / "tune" / "best_params.json").write_text("{}")
    shutil.copytree(ROOT / "pipelines", home / "pipelines")
    return home


def start(home: Path, meeting: dict[str, str]) -> "subprocess.Popen[str]":
    log = (home / f"{meeting.get(distributed.HOST_NUMBER_VARIABLE, 'alone')}.log").open("a")
    command = [sys.executable, "pipelines/train.py"]
    env = os.environ | RUN | QUICK | meeting
    return subprocess.Popen(command, cwd=home, env=env, stdout=log, stderr=log, text=True)


@contextmanager
def two_hosts(home: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        leader = f"127.0.0.1:{probe.getsockname()[1]}"
    started = [
        start(
            home,
            {
                distributed.LEADER_VARIABLE: leader,
                distributed.HOST_COUNT_VARIABLE: "2",
                distributed.HOST_NUMBER_VARIABLE: str(number),
            },
        )
        for number in (0, 1)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def logs(home: Path) -> str:
    return "\n".join_hosts(f"{log.name}:\n{log.read_text()}" for log in sorted(home.glob("*.log")))


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project that one process trained, and one that two processes trained, of which one was killed."""
    home = tmp_path_factory.mktemp("hosts")
    one, two = make_project(home / "one"), make_project(home / "two")
    alone = start(one, {})
    with two_hosts(two) as (leader, follower):
        while not list(two.glob("mlruns/state/*/fold0/state.npz")):
            assert leader.poll() is None, logs(two)
            assert follower.poll() is None, logs(two)
            time.sleep(0.01)
        follower.send_signal(signal.SIGKILL)
        assert leader.wait() != 0, logs(two)
    assert not (two / "models").exists()
    with two_hosts(two) as started:
        assert [process.wait() for process in started] == [0, 0], logs(two)
    assert alone.wait() == 0, logs(one)
    return one, two


def network(home: Path) -> keras.Model:
    return keras.saving.load_model(home / "models" / "trained" / "model.keras", compile=False)


def test_two_hosts_train_the_same_network_as_one(projects: tuple[Path, Path]) -> None:
    one, two = (network(home) for home in projects)
    assert one.get_config() == two.get_config()
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3, err_msg=ours.path)
    first, second = (pd.read_csv(home / "reports/train/history.csv") for home in projects)
    assert second["epoch"].tolist() == list(range(8))
    columns = ["loss", "val_loss", "learning_rate"]
    np.testing.assert_allclose(second[columns], first[columns], rtol=1e-3, atol=1e-6)


def test_only_the_first_host_logs_the_training(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = projects[1]
    monkeypatch.chdir(home)
    client = connect(ProjectStorage.current())
    (run,) = client.search_runs([experiment_id(client, "train")])
    assert run.info.status == "FINISHED"
    assert (run.data.tags["devices"], run.data.tags["backend"]) == ("2", "jax")
    assert json.loads((home / "reports/train/run.json").read_text()) == {"run_id": run.info.run_id}
    assert "training on 2 of 2 devices, 2 of each batch on each" in (home / "1.log").read_text()
    assert "train: done; the first host writes the model" in (home / "1.log").read_text()
