"""What is offered to the registry. Light: hashes alone, so that "nothing new" is found at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glioseg.core.fingerprint import Code, sha256_file
from glioseg.mlops.tracking.fingerprints import data_version, metric_code, sha256
from glioseg.params.promotion import Register

CONTENT = "content_sha256"
"""The tag that says what a version is made of: two versions of a model never share it."""
TEST_SET, METRIC_CODE = "test_set_sha256", "metric_code_sha256"
"""The tags that say of which test cases a version's table is, and by which state of the code."""

FILES = "files_sha256"
"""The tag with the hash of the files alone that a version carries: with it they can be checked later."""

ENTRY = "serving/pyfunc.py"
"""Inside the package: the file that MLflow runs to answer."""
ENTRY_MODULE = "glioseg.serving.pyfunc"


@dataclass(frozen=True)
class Source:
    """What a version is made from.

    `files`: the network and its settings; `package`: glioseg's own folder, of which the version
    carries a copy.
    """

    files: Sequence[Path]
    package: Path

    @property
    def entry(self) -> Path:
        """The models-from-code file."""
        return self.package / ENTRY

    @property
    def content(self) -> str:
        """The hash of what decides the version's answers: its files, and the libraries that they need."""
        libraries = Code.read(self.package).used_by(ENTRY_MODULE).libraries
        return sha256(json.dumps([self.carried, libraries]).encode())

    @property
    def carried(self) -> str:
        """The hash of the files that the version carries: network, settings, and all of glioseg's code."""
        network = {file.name: sha256_file(file) for file in self.files}
        return sha256(json.dumps([network, Code.read(self.package).source], sort_keys=True).encode())


@dataclass(frozen=True)
class Evaluation:
    """How a model did on the test cases.

    `per_case`: their table; `cases`: their names; `measured`: a number to each name of
    `params.promotion.Limits`; `metric_code`: hash of the code that measured them, by default of today's.
    """

    per_case: Path
    cases: Sequence[str]
    measured: Mapping[str, float] = field(default_factory=dict)
    metric_code: str = field(default_factory=metric_code)

    @property
    def marks(self) -> dict[str, str]:
        """Tags that say which table it is, of which test cases of which data, and by which code."""
        test_set = json.dumps([data_version(), sorted(self.cases)])
        return {
            "per_case_sha256": sha256(self.per_case.read_bytes()),
            TEST_SET: sha256(test_set.encode()),
            METRIC_CODE: self.metric_code,
        }


def measured(metrics: Mapping[str, Any], resources: Mapping[str, float]) -> dict[str, float]:
    """What the gate's limits are held against; of the calibration errors, that of the worst region.

    >>> measured({"calibration_error": {"WT": {"mean": 0.01}, "TC": {"mean": 0.03}}}, {"case_s": 2.0})
    {'calibration_error': 0.03, 'case_s': 2.0}
    """
    worst = max(numbers["mean"] for numbers in metrics["calibration_error"].values())
    return {"calibration_error": worst, **resources}


def marks(source: Source, evaluation: Evaluation, rules: Register) -> dict[str, str]:
    """The tags by which a version that is registered and judged already, by these rules, is recognised."""
    return {
        CONTENT: source.content,
        "gate_sha256": sha256(rules.model_dump_json(exclude={"name"}).encode()),
    } | evaluation.marks


def already(version: int | str, champion: int | str | None) -> str:
    """The line that says that there is nothing to register."""
    standing = f"the champion is version {champion}" if champion else "there is no champion"
    return f"version {version} is this model already; {standing}"
