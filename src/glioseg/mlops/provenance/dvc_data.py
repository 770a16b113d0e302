"""A project's data in another work tree of it: from the project's own cache, or else from its remote."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from glioseg.compute import CLUSTER
from glioseg.core.errors import GliosegError
from glioseg.params.compute import PROCESSES

OWN = ("DVC_", "MLFLOW_", "GLIOSEG_", "PYTHONPATH")
"""How variables begin that would lead a process back to the project's own lab, code or data."""


class DataError(GliosegError):
    """Data that are in neither the cache nor the remote."""


def environment(tree: Path) -> dict[str, str]:
    """What a process in the tree finds around it: its own code, no way to the project's lab, and no cluster.

    Other machines need not see a temporary folder of this one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return kept | {"PYTHONPATH": str(tree / "src"), CLUSTER: PROCESSES}


def share_cache(root: Path, tree: Path) -> None:
    """Let DVC in the tree use the project's cache and remotes, and nothing of git.

    Args:
        root: of the project.
        tree: a checkout of one of its commits, which may know nothing of a remote that came later.
    """
    settings = dict(line.partition("=")[::2] for line in _dvc(root, "config", "--list").stdout.splitlines())
    settings.setdefault("cache.dir", str((root / ".dvc" / "cache").resolve()))
    # DVC notes for each tree what it has seen: beside the tree, so that the note goes with it.
    settings |= {"core.no_scm": "true", "core.site_cache_dir": str(tree / ".dvc" / "tmp")}
    (tree / ".dvc" / "config.local").write_text(_ini(settings))


def _ini(settings: Mapping[str, str]) -> str:
    """Settings as DVC's file holds them: each heading once."""
    sections: dict[str, list[str]] = {}
    for name, value in settings.items():
        sections.setdefault(_section(name), []).append(f"{name.rpartition('.')[2]} = {value}")
    return "".join(f"[{head}]\n" + "\n".join(lines) + "\n" for head, lines in sections.items())


def _section(name: str) -> str:
    r"""DVC's heading of a setting.

    >>> _section("core.remote"), _section("remote.store.url")
    ('core', '\'remote "store"\'')
    """
    kind, _, which = name.rpartition(".")[0].partition(".")
    return f"'{kind} \"{which}\"'" if which else kind


def bring(tree: Path, targets: Sequence[str]) -> None:
    """Check out data in a tree that `share_cache` prepared.

    Args:
        tree: with the dvc.lock that names the data.
        targets: outs of its stages.

    Raises:
        DataError: some of them are nowhere.
    """
    if _dvc(tree, "checkout", *targets).returncode == 0:
        return
    if (pulled := _dvc(tree, "pull", *targets)).returncode:
        errors = [line for line in pulled.stderr.splitlines() if line.startswith("ERROR: ")]
        why = errors[0].removeprefix("ERROR: ").rstrip(":") if errors else "DVC does not say why"
        raise DataError(f"{', '.join(targets)}: neither in DVC's cache nor in a remote: {why}")


def _dvc(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
