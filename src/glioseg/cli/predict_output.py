"""What `glioseg predict` prints: results on stdout, warnings and notes on stderr."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from glioseg.cli.predict_case import Outcome
from glioseg.cli.predict_job import JobPlan
from glioseg.data.cohort.cases import Case

COMMAND = "glioseg predict"


@dataclass(frozen=True)
class Printer:
    """Prints as the options of the command say."""

    as_json: bool = False
    verbose: bool = False
    quiet: bool = False

    @property
    def title(self) -> str:
        """The name of the progress display; empty for none."""
        return "" if self.quiet else "predict"

    def say(self, line: str) -> None:
        """A note, unless the command is quiet."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """A warning or an error."""
        print(f"{COMMAND}: {line}", file=sys.stderr, flush=True)

    def outcome(self, outcome: Outcome) -> None:
        """The result of a case, after its warnings."""
        for warning in outcome.warnings:
            self.warn(warning)
        if self.verbose:
            for info in outcome.infos:
                self.say(info)
        if self.quiet or outcome.refused:
            return
        print(
            json.dumps(outcome.statistics, ensure_ascii=False) if self.as_json else outcome.line, flush=True
        )

    def plan(self, cases: Sequence[Case], plan: JobPlan) -> None:
        """The files that would be read and written."""
        for case in cases:
            files = {role: str(file) for role, file in case.files.items()}
            written = [str(file) for file in plan.files(case).values()]
            if self.as_json:
                print(json.dumps({"case": case.case, "reads": files, "writes": written}, ensure_ascii=False))
                continue
            print(f"{case.case}: writes {', '.join(written)}")
            for role, file in files.items():
                print(f"  {role}: {file}")
