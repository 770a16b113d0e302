"""A candidate for the registry: its test results, and the tags by which a registered version is recognised.

Importing this module does not import MLflow, so the stage detects a registered model within a second.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glioseg.core.fingerprint import sha256_bytes
from glioseg.mlops.tracking.git_dvc import data_version
from glioseg.mlops.tracking.model_files import CONTENT_HASH, ModelFiles
from glioseg.mlops.tracking.model_uri import NO_CHAMPION
from glioseg.mlops.tracking.run_tags import metric_code_fingerprint
from glioseg.params.sections import Register

TEST_SET_HASH, METRIC_CODE_HASH = "test_set_sha256", "metric_code_sha256"
"""Tags with the hashes of the test cases of a version's table, and of the code that computed its metrics."""


@dataclass(frozen=True)
class Evaluation:
    """The results of a model on the test cases.

    `per_case`: their table; `cases`: their names; `measured`: a number for each name of
    `params.sections.PromotionLimits`; `metric_code`: the hash of the code that computed the metrics, by
    default of the current code.
    """

    per_case: Path
    cases: Sequence[str]
    measured: Mapping[str, float] = field(default_factory=dict)
    metric_code: str = field(default_factory=metric_code_fingerprint)

    @property
    def identifying_tags(self) -> dict[str, str]:
        """Hashes of the table, of the names and the data of the test cases, and of the metric code."""
        test_set = json.dumps([data_version(), sorted(self.cases)])
        return {
            "per_case_sha256": sha256_bytes(self.per_case.read_bytes()),
            TEST_SET_HASH: sha256_bytes(test_set.encode()),
            METRIC_CODE_HASH: self.metric_code,
        }


def gate_measures(metrics: Mapping[str, Any], resources: Mapping[str, float]) -> dict[str, float]:
    """The numbers that the gate's limits apply to; the calibration error is that of the worst region.

    >>> gate_measures({"calibration_error": {"WT": {"mean": 0.01}, "TC": {"mean": 0.03}}}, {"case_s": 2.0})
    {'calibration_error': 0.03, 'case_s': 2.0}
    """
    worst = max(numbers["mean"] for numbers in metrics["calibration_error"].values())
    return {"calibration_error": worst, **resources}


def identifying_tags(model_files: ModelFiles, evaluation: Evaluation, rules: Register) -> dict[str, str]:
    """The tags of a registered version for which the gate has made a decision by the same rules."""
    return {
        CONTENT_HASH: model_files.content_hash,
        "gate_sha256": sha256_bytes(rules.model_dump_json(exclude={"name"}).encode()),
    } | evaluation.identifying_tags


def already_registered(version: int | str, champion: int | str | None) -> str:
    """The line that reports that there is nothing to register."""
    standing = f"the champion is version {champion}" if champion else NO_CHAMPION.format(version=version)
    return f"version {version} is this model already; {standing}"
