"""A commit with its uncommitted changes, checked out into a temporary work tree."""

import pytest

from glioseg.mlops.provenance.work_tree import CheckoutError, source_patch, work_tree
from glioseg.mlops.tracking.git_dvc import git_output


def test_a_patch_leaves_out_what_the_pipeline_writes(repository):
    root, _ = repository
    (root / "reports").mkdir()
    for name in ("dvc.lock", "reports/scores.json"):
        (root / name).write_text("1")
        git_output(root, "add", name)
    git_output(root, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "second")
    (root / "dvc.lock").write_text("2")
    (root / "reports/scores.json").write_text("2")
    assert source_patch(root) == b""


def test_a_patch_makes_text_and_bytes_again_and_leaves_nothing_behind(repository):
    root, sha = repository
    (root / "a").write_bytes(b"\x00\xff\n")
    patch = root.with_name("source.patch")
    patch.write_bytes(source_patch(root))
    with work_tree(root, sha, patch=patch) as tree:
        assert (tree / "a").read_bytes() == b"\x00\xff\n"
        assert git_output(tree, "rev-parse", "HEAD").strip() == sha
    assert not tree.exists()
    assert len(git_output(root, "worktree", "list").splitlines()) == 1
    assert (root / "a").read_bytes() == b"\x00\xff\n"


def test_a_patch_that_does_not_fit_and_a_commit_that_is_not_there_are_errors(repository):
    root, sha = repository
    (root / "a").write_text("2")
    patch = root.with_name("bad.patch")
    patch.write_bytes(source_patch(root).replace(b"-1", b"-9"))
    with (
        pytest.raises(CheckoutError, match=r"source\.patch on commit .* cannot be checked out"),
        work_tree(root, sha, patch=patch),
    ):
        pass
    with (
        pytest.raises(CheckoutError, match="is not in this repository"),
        work_tree(root, "0" * 40, patch=None),
    ):
        pass
