"""`glioseg predict` on a cluster of real workers writes the same bytes as without one."""

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
from glioseg.models.inference.loading import save_model
from glioseg.models.networks.unet import build_unet, without_deep_supervision
from tests.helpers.clusters import running, scheduler, two_workers, until
from tests.helpers.models import make_settings
from tests.helpers.predicting import use_formula
from tests.helpers.projects import write_case
from tests.helpers.waiting import TIMEOUT_S

CASES = 5
STUCK = "Patient 4"
COMMAND = [sys.executable, "-c", "from glioseg.cli import app; app()", "predict"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scans of a few cases."""
    home = tmp_path_factory.mktemp("predict")
    for index in range(CASES):
        write_case(home / "scans", index)
    return home


@pytest.fixture
def words(folder):
    """Options of the command: a formula in place of a network, and entropy maps."""
    model = folder / "formula"
    model.mkdir(exist_ok=True)
    make_settings().save(model)
    return ["--model", model, "--entropy"]


@pytest.fixture(scope="module")
def network(folder):
    """An untrained network."""
    keras.utils.set_random_seed(4)
    shape = {"base_filters": 2, "depth": 2, "dropout": 0.0, "heads": "plain", "deep_supervision": "none"}
    built = build_unet(architecture="seed", outputs=("segmentation",), dtype="float32", **shape)
    model = folder / "network"
    model.mkdir()
    save_model(model, [without_deep_supervision(built)], make_settings())
    return model


@pytest.fixture
def alone(folder, words, monkeypatch):
    """The output of the command without a cluster."""
    with monkeypatch.context() as patch:
        use_formula(patch)["folder"] = words[1]
        assert run(folder / "scans", "-o", folder / "alone", *words).exit_code == 0
    return folder / "alone"


@pytest.fixture(scope="module")
def quick(folder):
    """The address of a scheduler and its two workers, which load a formula in place of a network."""
    preload = ["--preload", "tests.helpers.formula_worker"]
    with scheduler(folder) as address, two_workers(address, folder, words=preload) as workers:
        yield address, workers


def run(*words):
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])


def run_in_process(settings, *words):
    """Run the command in its own process, since TensorFlow reads its settings once."""
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
    """Lines of the command; TensorFlow also logs lines, which contain the time."""
    return sorted(line for line in result.stderr.splitlines() if line.startswith("glioseg predict:"))


PROCESSORS = {
    "this one": {},
    "without AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},  # Eigen rounds sums by the number of threads
}


@pytest.mark.parametrize("settings", PROCESSORS.values(), ids=PROCESSORS)
def test_workers_write_and_print_the_same_as_one_process(folder, network, tmp_path, settings):
    """With a real network, in two local processes and in two Dask workers of one thread each."""
    scans, words = folder / "scans", ["--model", network, "--entropy"]
    with scheduler(tmp_path) as address, two_workers(address, tmp_path, settings=settings):
        where = {"alone": [], "processes": ["--workers", 2], "dask": ["--cluster", address]}
        done = {
            name: run_in_process(settings, scans, "-o", tmp_path / name, *words, *more)
            for name, more in where.items()
        }
    for name, result in done.items():
        assert result.returncode == 0, result.stderr
        same(tmp_path / "alone", tmp_path / name)
        assert lines(result, tmp_path / name) == lines(done["alone"], tmp_path / "alone")
        assert warnings(result) == warnings(done["alone"])


def test_a_rejected_case_is_the_only_one_that_is_tried_again(words, quick, tmp_path):
    for index in range(3):
        write_case(tmp_path / "scans", index)
    cut = tmp_path / "scans" / "Patient 1" / "Patient 1_t2.nii.gz"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:60])
    words_of_command = [tmp_path / "scans", "-o", tmp_path / "out", *words, "--cluster", quick[0]]
    result = run(*words_of_command)
    assert result.exit_code == 1
    assert "glioseg predict: Patient 1/t2 (Patient 1_t2.nii.gz): readable: expected a whole" in result.stderr
    rows = table(tmp_path / "out")
    assert [rows[case]["status"] for case in sorted(rows)] == ["segmented", "refused", "segmented"]
    cut.write_bytes(whole)
    result = run(*words_of_command)
    assert result.exit_code == 0, result.output
    assert "2 of 3 cases are finished already" in result.stderr
    assert {row["status"] for row in table(tmp_path / "out").values()} == {"segmented"}


def test_finished_cases_survive_ctrl_c_and_the_case_of_a_killed_worker_moves_to_another(
    folder, words, alone, quick, tmp_path
):
    """One scan is a named pipe, so the worker of its case waits."""
    address, workers = quick
    pipe, output = folder / "scans" / STUCK / f"{STUCK}_t1.nii.gz", tmp_path / "out"
    original = pipe.rename(tmp_path / "original")
    os.mkfifo(pipe)
    words_of_command = [folder / "scans", "-o", output, *words, "--cluster", address]
    command = [*COMMAND, *map(str, words_of_command)]

    with begin(command, log := tmp_path / "first.log") as process:
        until(lambda: log.read_text().count(".nii.gz: WT ") == CASES - 1, "predictions")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) != 0
    assert "Traceback" not in log.read_text()
    assert sorted(table(output)) == [f"Patient {number}" for number in range(CASES - 1)]
    assert not (output / ".model").exists()
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))  # a worker that still waits reads an empty file

    with begin(command, log := tmp_path / "second.log") as process, Client(address) as client:
        until(lambda: busy(client), "a worker that waits for the pipe")
        original.rename(pipe)
        (at_it,) = busy(client)
        logs = [(folder / name).read_text() for name in ("one.log", "two.log")]
        (victim,) = [each for each, log_text in zip(workers, logs, strict=True) if at_it in log_text]
        os.killpg(victim.pid, signal.SIGKILL)
        assert process.wait(TIMEOUT_S) == 0, log.read_text()
    assert f"{CASES - 1} of {CASES} cases are finished already" in log.read_text()
    same(alone, output)


def begin(command: list[str], log: Path):
    return running(command, log, {"PYTHONUNBUFFERED": "1"})


def busy(client):
    """Addresses of the workers that are processing a case."""
    return [address for address, tasks in client.processing().items() if any("predict" in t for t in tasks)]


def test_an_invalid_cluster_address_is_one_line(folder, words, tmp_path):
    result = run(folder / "scans", "-o", tmp_path / "out", *words, "--cluster", "elsewhere")
    assert result.exit_code == 1
    assert result.stdout == (
        "glioseg predict: --cluster: cluster: expected processes, threads, slurm"
        " or a scheduler's address such as tcp://host:8786, got elsewhere\n"
    )
