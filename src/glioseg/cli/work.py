"""What `glioseg predict` has to do: the files to write for each case, and which cases are finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glioseg.cli.engine import Engine
from glioseg.cli.summary import SUMMARY, Row, Summary, made_of
from glioseg.data.cases import Case

NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Work:
    """Where answers go: `targets` by case, `summary` where they go to a folder."""

    targets: Mapping[str, Path]
    summary: Summary | None
    entropy: bool

    def files(self, case: Case) -> list[Path]:
        """What is written for a case: labels and, if wished for, entropy."""
        target = self.targets[case.case]
        end = next(end for end in reversed(NIFTI) if target.name.endswith(end))
        beside = target.with_name(f"{target.name.removesuffix(end)}_entropy{end}")
        return [target, beside] if self.entropy else [target]

    def keep(self, row: Row) -> None:
        """Write down how a case went."""
        if self.summary:
            self.summary.put(row)

    def drop(self, case: Case) -> None:
        """Forget how a case went before its files are replaced: killed then, it is not taken for finished."""
        if self.summary:
            self.summary.drop(case.case)

    def made_of(self, case: Case, engine: Engine) -> str:
        """One hash of all that the files of a case depend on."""
        return made_of(case, engine.facts | {"entropy": self.entropy})

    def left(self, cases: Sequence[Case], engine: Engine) -> list[Case]:
        """The cases that are not finished."""
        known = self.summary.finished() if self.summary else {}

        def finished(case: Case) -> bool:
            there = case.case in known and all(file.is_file() for file in self.files(case))
            return there and known[case.case] == self.made_of(case, engine)

        return [case for case in cases if not finished(case)]


def plan(cases: Sequence[Case], output: Path, *, entropy: bool) -> Work:
    """Say what is written where.

    Args:
        cases: all of them, whether they are finished or not.
        output: a file, or a folder.
        entropy: whether to write it too.

    Raises:
        ValueError: one file for many cases.
    """
    if not output.name.endswith(NIFTI):
        targets = {case.case: output / f"{case.case}.nii.gz" for case in cases}
        return Work(targets, Summary(output / SUMMARY), entropy)
    if len(cases) > 1:
        raise ValueError(f"{output}: expected a folder to write {len(cases)} cases to")
    return Work({cases[0].case: output}, None, entropy)
