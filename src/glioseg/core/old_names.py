"""Names of earlier versions, which stored records, registries and projects still have; readers accept both.

Everything that is written has the current names. A value of these mappings is the current name of its key.
"""

from collections.abc import Mapping
from typing import Any

FIELDS = {
    "always": "required_modalities",
    "likeness": "out_of_distribution",
    "pieces": "phases",
    "settled": "calibrated",
}
"""Keys of `settings.json` and `pretraining.json`."""

COLUMNS = {"doubt": "low_confidence_reasons", "made_of": "input_sha256", "piece": "phase"}
"""Columns of `per_case.csv`, `summary.csv` and `history.csv`."""

TAGS = {"challenge": "last_decision", "challenged_by": "last_challenger", "verdict": "gate_decision"}
"""Tags of registered versions."""

STAGES = {"settle": "calibrate"}
"""Stages of `dvc.yaml`."""

PATHS = {
    "models/settled": "models/calibrated",
    "reports/settle/model.json": "reports/calibrate/model.json",
}
"""Outputs of stages."""


def with_current_names(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The record with old keys renamed; an old key is dropped if the record also has the current one.

    >>> with_current_names({"likeness": None, "found": 1}, FIELDS)
    {'out_of_distribution': None, 'found': 1}
    """
    renamed = {names[name]: value for name, value in record.items() if name in names}
    return renamed | {name: value for name, value in record.items() if name not in names}


def old_name(current: str, names: Mapping[str, str]) -> str:
    """The name that earlier versions used for `current`; `current` itself if it did not change.

    >>> old_name("calibrate", STAGES), old_name("train", STAGES)
    ('settle', 'train')
    """
    return next((old for old, new in names.items() if new == current), current)
