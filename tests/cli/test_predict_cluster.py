"""`glioseg predict` on a cluster: real workers, and the same bytes as without."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from distributed import Client
from typer.testing import CliRunner

from glioseg import cli
from glioseg.models.inference.predictor import save_model
from glioseg.models.networks.unet import build_unet, without_deep_supervision
from tests.helpers.clusters import running, scheduler, two_workers, until
from tests.helpers.models import make_settings
from tests.helpers.predicting import stand_in
from tests.helpers.projects import write_patient
from tests.helpers.waiting import LATEST_S

CASES = 5
STUCK = "Patient 4"
COMMAND = [sys.executable, "-c", "from glioseg.cli import app; app()", "predict"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scans of a few patients."""
    home = tmp_path_factory.mktemp("predict")
    for index in range(CASES):
        write_patient(home / "scans", index)
    return home


@pytest.fixture
def words(folder):
    """What to segment, and with what: no network, but a formula in its place."""
    model = folder / "formula"
    model.mkdir(exist_ok=True)
    make_settings().save(model)
    return ["--model", model, "--entropy"]


@pytest.fixture(scope="module")
def network(folder):
    """A network that nobody trained: arithmetic is arithmetic."""
    keras.utils.set_random_seed(4)
    shape = {"base_filters": 2, "depth": 2, "dropout": 0.0, "heads": "plain", "deep_supervision": "none"}
    built = build_unet(architecture="seed", outputs=("segmentation",), dtype="float32", **shape)
    model = folder / "network"
    model.mkdir()
    save_model(model, [without_deep_supervision(built)], make_settings())
    return model


@pytest.fixture
def alone(folder, words, monkeypatch):
    """What the command leaves without a cluster."""
    with monkeypatch.context() as patch:
        stand_in(patch)["folder"] = words[1]
        assert run(folder / "scans", "-o", folder / "alone", *words).exit_code == 0
    return folder / "alone"


@pytest.fixture(scope="module")
def quick(folder):
    """A scheduler's address and its two workers, to which a formula is a network."""
    preload = ["--preload", "tests.helpers.stand_in_worker"]
    with scheduler(folder) as address, two_workers(address, folder, words=preload) as workers:
        yield address, workers


def run(*words):
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])


def run_apart(settings, *words):
    """In a process of its own, since TensorFlow reads its settings once."""
    words = [*COMMAND, *map(str, words)]
    return subprocess.run(words, env=os.environ | settings, capture_output=True, text=True)


def table(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return {row.pop("case"): row for row in csv.DictReader(file)}


def same(one, other):
    """The same files but for the seconds of each case."""
    names = {path.name for path in one.iterdir()}
    assert {path.name for path in other.iterdir()} == names
    for name in names - {"summary.csv"}:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    tables = [table(each) for each in (one, other)]
    for rows in tables:
        assert all(float(row.pop("seconds")) >= 0 for row in rows.values())
    assert tables[0] == tables[1]


def lines(result, output):
    return sorted(line.replace(str(output), "") for line in result.stdout.splitlines() if " ml " in line)


def warnings(result):
    """What the command says of cases; TensorFlow logs lines that hold the time."""
    return sorted(line for line in result.stderr.splitlines() if line.startswith("glioseg predict:"))


PROCESSORS = {
    "this one": {},
    "without AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},  # Eigen rounds sums by the number of threads
}


@pytest.mark.parametrize("settings", PROCESSORS.values(), ids=PROCESSORS)
def test_workers_leave_and_say_what_one_process_does(folder, network, tmp_path, settings):
    """With a real network, in two processes of this machine and in two workers of one thread each."""
    scans, words = folder / "scans", ["--model", network, "--entropy"]
    with scheduler(tmp_path) as address, two_workers(address, tmp_path, settings=settings):
        where = {"alone": [], "processes": ["--workers", 2], "dask": ["--cluster", address]}
        done = {
            name: run_apart(settings, scans, "-o", tmp_path / name, *words, *more)
            for name, more in where.items()
        }
    for name, result in done.items():
        assert result.returncode == 0, result.stderr
        same(tmp_path / "alone", tmp_path / name)
        assert lines(result, tmp_path / name) == lines(done["alone"], tmp_path / "alone")
        assert warnings(result) == warnings(done["alone"])


def test_a_case_that_breaks_the_contract_is_refused_and_the_next_time_it_alone_is_tried(
    words, quick, tmp_path
):
    for index in range(3):
        write_patient(tmp_path / "scans", index)
    cut = tmp_path / "scans" / "Patient 1" / "Patient 1_t2.nii.gz"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:60])
    asked = [tmp_path / "scans", "-o", tmp_path / "out", *words, "--cluster", quick[0]]
    result = run(*asked)
    assert result.exit_code == 1
    assert "glioseg predict: Patient 1/t2 (Patient 1_t2.nii.gz): readable: expected a whole" in result.stderr
    rows = table(tmp_path / "out")
    assert [rows[case]["status"] for case in sorted(rows)] == ["segmented", "refused", "segmented"]
    cut.write_bytes(whole)
    result = run(*asked)
    assert result.exit_code == 0, result.output
    assert "2 of 3 cases are finished already" in result.stdout
    assert {row["status"] for row in table(tmp_path / "out").values()} == {"segmented"}


def test_stopped_it_keeps_what_is_done_and_a_killed_worker_s_case_is_done_elsewhere(
    folder, words, alone, quick, tmp_path
):
    """One case is read from a pipe, which keeps its worker waiting."""
    address, workers = quick
    pipe, output = folder / "scans" / STUCK / f"{STUCK}_t1.nii.gz", tmp_path / "out"
    kept = pipe.rename(tmp_path / "kept")
    os.mkfifo(pipe)
    asked = [folder / "scans", "-o", output, *words, "--cluster", address]
    command = [*COMMAND, *map(str, asked)]

    with begin(command, log := tmp_path / "first.log") as process:
        until(lambda: log.read_text().count(".nii.gz: WT ") == CASES - 1, "answers")
        process.send_signal(signal.SIGINT)
        assert process.wait(LATEST_S) != 0
    assert "Traceback" not in log.read_text()
    assert sorted(table(output)) == [f"Patient {number}" for number in range(CASES - 1)]
    assert not (output / ".model").exists()
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))  # who still waits for the pipe finds it empty

    with begin(command, log := tmp_path / "second.log") as process, Client(address) as client:
        until(lambda: busy(client), "a worker that waits for the pipe")
        kept.rename(pipe)
        (at_it,) = busy(client)
        logs = [(folder / name).read_text() for name in ("one.log", "two.log")]
        (victim,) = [each for each, said in zip(workers, logs, strict=True) if at_it in said]
        os.killpg(victim.pid, signal.SIGKILL)
        assert process.wait(LATEST_S) == 0, log.read_text()
    assert f"{CASES - 1} of {CASES} cases are finished already" in log.read_text()
    same(alone, output)


def begin(command: list[str], log: Path):
    return running(command, log, {"PYTHONUNBUFFERED": "1"})


def busy(client):
    """The addresses of workers that are at a case."""
    return [address for address, tasks in client.processing().items() if any("predict" in t for t in tasks)]


def test_a_cluster_that_is_none_is_one_line(folder, words, tmp_path):
    result = run(folder / "scans", "-o", tmp_path / "out", *words, "--cluster", "nobody")
    assert result.exit_code == 1
    assert result.stdout == (
        "glioseg predict: --cluster: cluster: expected processes, threads, slurm"
        " or a scheduler's address such as tcp://host:8786, got nobody\n"
    )
