"""A team whose machines share a database and a bucket."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.projects import succeed

URL = "s3://team/glioseg"


@dataclass(frozen=True)
class Team:
    """`home`: the project in which the model was trained; `around`: the environment of every machine."""

    home: Path
    around: dict[str, str]
    bucket: Any

    def run(self, home: Path, *words: str) -> str:
        """Run a command, which must succeed, on a machine of the team."""
        return succeed(home, *words, **self.around)
