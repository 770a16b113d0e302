"""A commit with its data in a temporary git work tree, in which stages run without changing the project."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp

from glioseg.compute import CLUSTER_VARIABLE
from glioseg.core.environment import own_environment
from glioseg.core.errors import GliosegError
from glioseg.core.fingerprint import installed_package
from glioseg.mlops.tracking.git_dvc import SOURCE, git_output, git_output_bytes
from glioseg.params.sections import PROCESSES

PATCH = "source.patch"
WORK_TREES = Path(".dvc/tmp/reproduce")
"""The folder of work trees: git and DVC ignore it, and DVC can link data into it instead of copying."""
DECLARED = Path(".dvc/tmp/declared")
"""A folder in the work tree with metadata of packages that are installed under another name."""
PROJECT_VARIABLES = ("DVC_", "MLFLOW_", "GLIOSEG_", "PYTHONPATH")
"""Prefixes of environment variables that could make a process use the project's storage, code or data."""


class CheckoutError(GliosegError):
    """A state of the code that cannot be checked out; the message gives the reason."""


class DataError(GliosegError):
    """Data that are in neither DVC's cache nor its remote."""


def source_patch(root: Path) -> bytes:
    """The changes of tracked files since the commit, as `git apply` reads them."""
    plain = ("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv")
    return git_output_bytes(root, "diff", *plain, "HEAD", "--", *SOURCE)


def has_commit(root: Path, commit: str) -> bool:
    """Whether the repository contains a commit."""
    try:
        git_output(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def work_tree(root: Path, commit: str, *, patch: Path | None) -> Iterator[Path]:
    """Check out a commit in a temporary work tree, which is removed afterwards in any case.

    Args:
        root: the project.
        commit: the full hash.
        patch: from `source_patch`; None if no file differed from the commit.

    Raises:
        CheckoutError: the repository has no such commit, or the patch does not apply to it.
    """
    if not has_commit(root, commit):
        raise CheckoutError(f"commit {commit} is not in this repository; `git fetch` may bring it")
    (root / WORK_TREES).mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=(root / WORK_TREES).resolve()))
    try:
        _check_out(root, folder, commit, patch)
        _declare_tensorflow(folder)
        yield folder
    finally:
        _remove(root, folder)


def _check_out(root: Path, folder: Path, commit: str, patch: Path | None) -> None:
    try:
        # DVC's git hook would check out all data.
        no_hooks = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach")
        git_output(root, *no_hooks, str(folder), commit)
        if patch:
            git_output(folder, "apply", "--whitespace=nowarn", str(patch))
    except subprocess.CalledProcessError as error:
        what = f"{PATCH} on commit {commit}" if patch else f"commit {commit}"
        raise CheckoutError(f"{what} cannot be checked out: {error.stderr.decode().strip()}") from None


def _declare_tensorflow(folder: Path) -> None:
    """Declare TensorFlow by its full name, for code from before glioseg preferred `tensorflow-cpu`.

    Both packages have the same modules and versions, but that code asks for the version of `tensorflow`.
    """
    package = installed_package("tensorflow")
    if package not in (None, "tensorflow"):
        about = folder / DECLARED / f"tensorflow-{version(package)}.dist-info"
        about.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: tensorflow\nVersion: {version(package)}\n"
        (about / "METADATA").write_text(text)


def _remove(root: Path, folder: Path) -> None:
    """Remove a work tree and git's entry for it; try twice: a process that ends may still write files."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
    git_output(root, "worktree", "prune")


def isolated_environment(tree: Path) -> dict[str, str]:
    """Environment variables for a process in the work tree, which uses the tree's own code and storage.

    It uses local processes instead of a Dask cluster, whose machines may lack access to this machine's
    temporary folders.
    """
    general = {
        name: value for name, value in own_environment().items() if not name.startswith(PROJECT_VARIABLES)
    }
    path = os.pathsep.join(map(str, (tree / "src", tree / DECLARED)))
    return general | {"PYTHONPATH": path, CLUSTER_VARIABLE: PROCESSES}


def share_cache(root: Path, tree: Path) -> None:
    """Configure DVC in the work tree to use the project's cache and remotes, without git.

    Args:
        root: the project.
        tree: a checkout of one of its commits, whose own settings may lack a remote that was added later.
    """
    settings = dict(line.partition("=")[::2] for line in _dvc(root, "config", "--list").stdout.splitlines())
    settings.setdefault("cache.dir", str((root / ".dvc" / "cache").resolve()))
    # DVC writes an index of the work tree to this folder, which is removed together with the work tree.
    settings |= {"core.no_scm": "true", "core.site_cache_dir": str(tree / ".dvc" / "tmp")}
    (tree / ".dvc" / "config.local").write_text(_ini(settings))


def _ini(settings: Mapping[str, str]) -> str:
    """Settings in the format of DVC's configuration file, each section once."""
    sections: dict[str, list[str]] = {}
    for name, value in settings.items():
        sections.setdefault(_section(name), []).append(f"{name.rpartition('.')[2]} = {value}")
    return "".join(f"[{head}]\n" + "\n".join(lines) + "\n" for head, lines in sections.items())


def _section(name: str) -> str:
    r"""The section of a DVC setting.

    >>> _section("core.remote"), _section("remote.store.url")
    ('core', '\'remote "store"\'')
    """
    kind, _, which = name.rpartition(".")[0].partition(".")
    return f"'{kind} \"{which}\"'" if which else kind


def fetch_data(tree: Path, targets: Sequence[str]) -> None:
    """Check out data in a work tree that `share_cache` configured.

    Args:
        tree: contains the dvc.lock that names the data.
        targets: outs of its stages.

    Raises:
        DataError: neither the cache nor the remote has some of them.
    """
    if _dvc(tree, "checkout", *targets).returncode == 0:
        return
    if (pulled := _dvc(tree, "pull", *targets)).returncode:
        errors = [line for line in pulled.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = errors[0].removeprefix("ERROR: ").rstrip(":") if errors else "DVC gives no reason"
        raise DataError(f"{', '.join(targets)}: neither in DVC's cache nor in a remote: {reason}")


def _dvc(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=isolated_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
