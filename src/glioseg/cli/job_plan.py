"""What `glioseg predict` has to do: the files to write for each case, and which cases are finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glioseg.cli.case_job import Terms, Todo
from glioseg.cli.model_loading import Engine
from glioseg.cli.summary_csv import SUMMARY, Row, Summary, made_of
from glioseg.compute import Cluster
from glioseg.core.errors import GliosegError
from glioseg.data.cohort.cases import Case

NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Work:
    """Where answers go: `targets` by case in `folder`, `summary` where they go to a folder."""

    targets: Mapping[str, Path]
    folder: Path
    summary: Summary | None
    entropy: bool

    def files(self, case: Case) -> list[Path]:
        """What is written for a case: labels and, if wished for, entropy."""
        target = self.targets[case.case]
        end = next(end for end in reversed(NIFTI) if target.name.endswith(end))
        beside = target.with_name(f"{target.name.removesuffix(end)}_entropy{end}")
        return [target, beside] if self.entropy else [target]

    def keep(self, rows: Sequence[Row]) -> None:
        """Write down how cases went."""
        if self.summary and rows:
            self.summary.put(rows)

    def drop(self, todo: Sequence[Todo]) -> None:
        """Forget how cases went before their files are replaced: killed then, none is taken for finished."""
        if self.summary:
            self.summary.drop([each.case.case for each in todo])

    def terms(self, engine: Engine) -> Terms:
        """What holds for all cases of this work."""
        return Terms(engine.name, engine.contract, engine.facts | {"entropy": self.entropy})

    def left(self, cases: Sequence[Case], terms: Terms, cluster: Cluster | None) -> list[Todo]:
        """The cases that are not finished.

        Args:
            cases: all of them.
            terms: of this work.
            cluster: where the files of cases are read that may be finished; None: here.
        """
        known = self.summary.finished() if self.summary else {}
        every = [Todo(case, self.files(case)) for case in cases]
        perhaps = [
            todo.case
            for todo in every
            if todo.case.case in known and all(file.is_file() for file in todo.files)
        ]
        task = partial(made_of, how=terms.facts)
        found = cluster.map(task, perhaps, title="compare") if cluster else map(task, perhaps)
        marks = {case.case: mark for case, mark in zip(perhaps, found, strict=True)}
        finished = {name for name, mark in marks.items() if mark == known[name]}
        return [todo for todo in every if todo.case.case not in finished]


def plan(cases: Sequence[Case], output: Path, *, entropy: bool) -> Work:
    """Say what is written where.

    Args:
        cases: all of them, whether they are finished or not.
        output: a file, or a folder.
        entropy: whether to write it too.

    Raises:
        GliosegError: one file for many cases.
    """
    if not output.name.endswith(NIFTI):
        targets = {case.case: output / f"{case.case}.nii.gz" for case in cases}
        return Work(targets, output, Summary(output / SUMMARY), entropy)
    if len(cases) > 1:
        raise GliosegError(f"{output}: expected a folder to write {len(cases)} cases to")
    return Work({cases[0].case: output}, output.parent, None, entropy)
