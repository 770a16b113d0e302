"""What git and dvc.lock record: commits of a real repository, and hashes of outs."""

import pytest

from glioseg.mlops.tracking import git_dvc
from glioseg.params.settings_file import ParamsError

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


def test_the_commit_and_whether_files_differ_from_it(repository):
    root, sha = repository
    (root / "new").touch()  # untracked: it does not affect the code that ran
    assert git_dvc.current_commit(root) == git_dvc.Commit(sha, dirty=False)
    (root / "a").write_text("2")
    assert git_dvc.current_commit(root) == git_dvc.Commit(sha, dirty=True)


def test_git_s_variables_of_another_job_have_no_say(repository, tmp_path_factory, monkeypatch):
    """Git sets them in its hooks, where they name the repository of the hook."""
    root, sha = repository
    other = tmp_path_factory.mktemp("other")
    git_dvc.git_output(other, "init", "--quiet")
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    git_dvc.git_output(other, *who, "commit", "--quiet", "--allow-empty", "-m", "other")
    for name, value in {"DIR": ".git", "WORK_TREE": ".", "INDEX_FILE": ".git/index"}.items():
        monkeypatch.setenv(f"GIT_{name}", str(other / value))
    assert git_dvc.current_commit(root) == git_dvc.Commit(sha, dirty=False)
    (root / "a").write_text("2")
    assert git_dvc.current_commit(root) == git_dvc.Commit(sha, dirty=True)


def test_results_of_the_pipeline_make_no_commit_dirty(repository):
    root, _ = repository
    (root / "reports").mkdir()
    for name in ("dvc.lock", "reports/scores.json"):
        (root / name).write_text("1")
        git_dvc.git_output(root, "add", name)
    git_dvc.git_output(root, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "second")
    (root / "dvc.lock").write_text("2")
    (root / "reports/scores.json").write_text("2")
    assert not git_dvc.current_commit(root).dirty


def test_without_a_repository_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_dvc.current_commit(tmp_path).sha == "unknown"


def test_without_git_the_commit_is_unknown(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_dvc.current_commit(repository[0]).sha == "unknown"


def test_the_reason_for_an_unknown_commit_is_one_line(repository, tmp_path, monkeypatch):
    root, _ = repository
    assert git_dvc.why_no_commit(root) == ""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as if another user owned the repository
    why = git_dvc.why_no_commit(root)
    assert "dubious ownership" in why
    assert why.endswith(f"; run: git config --global --add safe.directory '{root}'")
    assert "\n" not in why
    monkeypatch.setenv("PATH", "")
    assert git_dvc.why_no_commit(root) == "git is not installed"


def test_hashes_of_dvc_lock(tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert git_dvc.dvc_lock_hashes(tmp_path) == {
        "data/cropped": "0123456789abcdef0123456789abcdef.dir",
        "data/splits.json": "fedcba9876543210fedcba9876543210",
    }
    assert git_dvc.data_version(tmp_path) == "0123456789abcdef0123456789abcdef.dir"


def test_without_dvc_lock_the_data_version_is_unknown(tmp_path):
    assert git_dvc.data_version(tmp_path) == "unknown"


def test_a_dvc_lock_with_merge_conflicts_is_named(tmp_path):
    (tmp_path / "dvc.lock").write_text(f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n")
    with pytest.raises(ParamsError, match=r"dvc\.lock: not YAML: "):
        git_dvc.data_version(tmp_path)
