"""A commit in a temporary git work tree, with what differed from it when a model was registered."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from glioseg.core.errors import GliosegError
from glioseg.mlops.tracking.fingerprints import SOURCE, git, git_bytes

PATCH = "source.patch"
PLACE = Path(".dvc/tmp/reproduce")
"""Inside the project, where git and DVC look away, and where DVC can link instead of copying."""


class CheckoutError(GliosegError):
    """A state of the code that cannot be made again; the message says why."""


def source_patch(root: Path) -> bytes:
    """All that differs from the commit in files that git tracks, as `git apply` takes it."""
    plain = ("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv")
    return git_bytes(root, "diff", *plain, "HEAD", "--", *SOURCE)


def has_commit(root: Path, commit: str) -> bool:
    """Whether the repository holds a commit."""
    try:
        git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def work_tree(root: Path, commit: str, *, patch: Path | None) -> Iterator[Path]:
    """Check out a commit beside the present one, and remove it again, whatever happens.

    Args:
        root: of the project.
        commit: its whole hash.
        patch: as from `source_patch`; None where nothing differed.

    Raises:
        CheckoutError: the repository has no such commit, or the patch does not fit it.
    """
    if not has_commit(root, commit):
        raise CheckoutError(f"commit {commit} is not in this repository; `git fetch` may bring it")
    (root / PLACE).mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=(root / PLACE).resolve()))
    try:
        _check_out(root, folder, commit, patch)
        yield folder
    finally:
        _remove(root, folder)


def _check_out(root: Path, folder: Path, commit: str, patch: Path | None) -> None:
    try:
        # A hook of DVC's would check out all data.
        quiet = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach")
        git(root, *quiet, str(folder), commit)
        if patch:
            git(folder, "apply", "--whitespace=nowarn", str(patch))
    except subprocess.CalledProcessError as error:
        what = f"{PATCH} on commit {commit}" if patch else f"commit {commit}"
        raise CheckoutError(f"{what} cannot be made again: {error.stderr.decode().strip()}") from None


def _remove(root: Path, folder: Path) -> None:
    """Remove a work tree and git's note of it; a process that still writes there may need a second try."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
    git(root, "worktree", "prune")
