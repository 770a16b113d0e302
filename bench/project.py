"""A project of its own, in which stages run as a user runs them."""

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.options import HERE
from bench.worker import WorkerError
from glioseg.data.cohort.cases import COHORT, Case, write_cohort
from glioseg.data.cohort.file_names import NIFTI_SUFFIX
from tests.helpers.projects import environment

MADE = ("data/.records", "data/cropped", "reports")
"""All that validate and crop leave."""
VALIDATE, CROP = ("python", "pipelines/validate.py", "raw"), ("python", "pipelines/crop.py")


def run_command(words: Sequence[str | Path], *, log: Path, cwd: Path, env: Mapping[str, str]) -> float:
    """Run a command to its end, and return its seconds.

    Raises:
        WorkerError: it failed; what it printed is in the log.
    """
    begun = time.perf_counter()
    check(start_command(words, log=log, cwd=cwd, env=env), log=log)
    return time.perf_counter() - begun


def start_command(
    words: Sequence[str | Path], *, log: Path, cwd: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command whose output is added to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        return subprocess.Popen(words, cwd=cwd, env=env, stdout=output, stderr=output)


def check(process: subprocess.Popen[bytes], *, log: Path) -> None:
    """Wait for a command's end."""
    if code := process.wait():
        raise WorkerError(f"{' '.join(map(str, process.args))}: exit code {code}; see {log}")


@dataclass(frozen=True)
class Project:
    """A folder with the repository's code and settings, and a cohort of one's choice in data/raw."""

    folder: Path
    log: Path

    @classmethod
    def make(cls, folder: Path, *, log: Path) -> "Project":
        """Copy code and settings to a folder, which is emptied before."""
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("src", "pipelines"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(HERE.parent / name, folder / name, ignore=ignored)
        for settings in HERE.parent.glob("*.yaml"):
            shutil.copy(settings, folder)
        return cls(folder, log)

    def give(self, cases: Sequence[Case]) -> None:
        """Let data/raw hold these cases: links to their files under glioseg's own naming."""
        raw = self.folder / "data/raw"
        shutil.rmtree(raw, ignore_errors=True)
        for case in cases:
            (raw / case.case).mkdir(parents=True)
            for role, file in case.files.items():
                link = raw / case.case / f"{case.case}_{role}{NIFTI_SUFFIX.search(file.name).group()}"
                link.symlink_to(file.resolve())
        write_cohort(raw / COHORT, cases)

    def forget(self) -> None:
        """Remove all that the stages made, so that they begin from nothing."""
        for name in MADE:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def prepare(self) -> tuple[float, float]:
        """Run validate and crop; return the seconds of each."""
        return self.run(*VALIDATE), self.run(*CROP)

    def run(self, *words: str) -> float:
        """Run a command in the project, and return its seconds."""
        return run_command(words, log=self.log, cwd=self.folder, env=self.environment)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command in the project."""
        return start_command(words, log=self.log, cwd=self.folder, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """What the commands find around them."""
        return environment(self.folder)
