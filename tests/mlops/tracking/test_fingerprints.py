import hashlib
import platform
import subprocess
from importlib.metadata import version

import pytest

from glioseg.core.fingerprint import files_fingerprint
from glioseg.core.settings_file import ParamsError
from glioseg.mlops.provenance.git_worktree import CheckoutError, source_patch, work_tree
from glioseg.mlops.tracking import fingerprints
from glioseg.mlops.tracking.machine import has_gpu, machine

LOCK = """
schema: '2.0'
stages:
  crop:
    cmd: python pipelines/crop.py
    outs:
    - {path: data/cropped, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, nfiles: 3}
  split:
    cmd: python pipelines/split.py
    outs:
    - {path: data/splits.json, hash: md5, md5: fedcba9876543210fedcba9876543210}
"""


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "-m", "first")
    return tmp_path, git("rev-parse", "HEAD")


def test_the_commit_and_whether_files_differ_from_it(repository):
    root, sha = repository
    (root / "new").touch()  # what git does not track says nothing about the code that ran
    assert fingerprints.commit(root) == fingerprints.Commit(sha, dirty=False)
    (root / "a").write_text("2")
    assert fingerprints.commit(root) == fingerprints.Commit(sha, dirty=True)


def test_what_the_pipeline_writes_makes_no_commit_dirty(repository):
    root, _ = repository
    (root / "reports").mkdir()
    for name in ("dvc.lock", "reports/scores.json"):
        (root / name).write_text("1")
        fingerprints.git(root, "add", name)
    fingerprints.git(root, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "second")
    (root / "dvc.lock").write_text("2")
    (root / "reports/scores.json").write_text("2")
    assert not fingerprints.commit(root).dirty
    assert source_patch(root) == b""


def test_a_patch_makes_text_and_bytes_again_and_leaves_nothing_behind(repository):
    root, sha = repository
    (root / "a").write_bytes(b"\x00\xff\n")
    patch = root.with_name("source.patch")
    patch.write_bytes(source_patch(root))
    with work_tree(root, sha, patch=patch) as tree:
        assert (tree / "a").read_bytes() == b"\x00\xff\n"
        assert fingerprints.git(tree, "rev-parse", "HEAD").strip() == sha
    assert not tree.exists()
    assert len(fingerprints.git(root, "worktree", "list").splitlines()) == 1
    assert (root / "a").read_bytes() == b"\x00\xff\n"


def test_a_patch_that_does_not_fit_and_a_commit_that_is_not_there_are_errors(repository):
    root, sha = repository
    (root / "a").write_text("2")
    patch = root.with_name("bad.patch")
    patch.write_bytes(source_patch(root).replace(b"-1", b"-9"))
    with (
        pytest.raises(CheckoutError, match=r"source\.patch on commit .* cannot be made again"),
        work_tree(root, sha, patch=patch),
    ):
        pass
    with (
        pytest.raises(CheckoutError, match="is not in this repository"),
        work_tree(root, "0" * 40, patch=None),
    ):
        pass


def test_no_repository_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert fingerprints.commit(tmp_path).sha == "unknown"


def test_no_git_is_unknown(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert fingerprints.commit(repository[0]).sha == "unknown"


def test_hashes_of_dvc_lock(tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert fingerprints.locked_hashes(tmp_path) == {
        "data/cropped": "0123456789abcdef0123456789abcdef.dir",
        "data/splits.json": "fedcba9876543210fedcba9876543210",
    }
    assert fingerprints.data_version(tmp_path) == "0123456789abcdef0123456789abcdef.dir"


def test_no_dvc_lock_is_unknown(tmp_path):
    assert fingerprints.data_version(tmp_path) == "unknown"


def test_a_dvc_lock_that_git_could_not_merge_is_named(tmp_path):
    (tmp_path / "dvc.lock").write_text(f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n")
    with pytest.raises(ParamsError, match=r"dvc\.lock: not YAML: "):
        fingerprints.data_version(tmp_path)


def test_tags_name_the_environment_and_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "witty-mole")
    (tmp_path / "requirements.lock").write_bytes(b"x")
    tags = fingerprints.tags("train", tmp_path)
    assert tags["stage"] == "train"
    assert tags["dvc_experiment"] == "witty-mole"
    assert tags["environment"] == files_fingerprint([tmp_path / "requirements.lock"], folder=tmp_path)
    assert len(tags["environment"]) == len(hashlib.sha256().hexdigest())


def test_a_machine_says_what_numbers_depend_on(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: An Abacus 7\n")
    (tmp_path / "gpus" / "0").mkdir(parents=True)
    monkeypatch.setattr("glioseg.mlops.tracking.machine.CPUS", tmp_path / "cpuinfo")
    monkeypatch.setattr("glioseg.mlops.tracking.machine.GPUS", tmp_path / "gpus")
    plain = machine()
    assert ", An Abacus 7, " in plain
    assert f"Python {platform.python_version()}, tensorflow {version('tensorflow')}, " in plain
    assert not has_gpu(plain)
    (tmp_path / "gpus" / "0" / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    assert ", GPU NVIDIA H100, " in machine()
    assert has_gpu(machine())
