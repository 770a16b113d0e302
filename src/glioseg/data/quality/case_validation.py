"""The contract without Great Expectations, for one case that is to be segmented.

The rules are the same objects; only the judging is done here, since importing Great Expectations takes
eight seconds. A test holds both to the same findings.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from glioseg.data.cohort.case_io import Scan
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.expectations import Record, Table
from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.data.quality.validation_report import Finding
from glioseg.data.quality.volume_statistics import measure_scans
from glioseg.params.contract import Contract

Settings = Mapping[str, Any]
Breaks = Callable[[Sequence[Record], Settings], Iterator[bool]]
"""Tells of each row whether it breaks a rule with these settings."""


def check_case(case: Case, scans: Mapping[str, Scan], contract: Contract) -> list[Finding]:
    """Hold one case that is to be segmented to the contract.

    Args:
        case: whose scans they are.
        scans: by role, as from `scans.open_scans`.
        contract: its severities for `predict` count.

    Returns:
        What was found, a critical finding before a warning before a note.
    """
    tables = raw_tables([case], measure_scans(case, scans), contract, single=True)
    found = [finding for table in tables for finding in evaluate(table)]
    return sorted(found, key=lambda finding: ("critical", "warning", "info").index(finding.severity))


def evaluate(table: Table) -> Iterator[Finding]:
    """Find each row that breaks a rule of its table, as Great Expectations would."""
    for rule in table.rules:
        rows = [row for row in table.records if rule.where is None or row[rule.where[0]] == rule.where[1]]
        broken = BREAKS[rule.kind](rows, rule.settings)
        yield from (rule.finding(row) for row, bad in zip(rows, broken, strict=True) if bad)


def _present(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    return (row[settings["column"]] is not None for row in rows)


def _absent(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    return (row[settings["column"]] is None for row in rows)


def _repeated(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    values = [row[settings["column"]] for row in rows]
    counts = Counter(value for value in values if value is not None)
    return (counts[value] > 1 for value in values)


def _strange(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    return _unfit(rows, settings, lambda value: value in settings["value_set"])


def _outside(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    low, high = settings.get("min_value", -float("inf")), settings.get("max_value", float("inf"))
    strict = settings.get("strict_min", False)
    return _unfit(rows, settings, lambda value: low <= value <= high and not (strict and value == low))


def _unlike(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    return _unfit(rows, settings, lambda value: re.search(settings["regex"], value) is not None)


def _unequal(rows: Sequence[Record], settings: Settings) -> Iterator[bool]:
    pairs = ((row[settings["column_A"]], row[settings["column_B"]]) for row in rows)
    return (one is not None and other is not None and one != other for one, other in pairs)


def _unfit(rows: Sequence[Record], settings: Settings, fits: Callable[[Any], bool]) -> Iterator[bool]:
    values = (row[settings["column"]] for row in rows)
    return (value is not None and not fits(value) for value in values)


BREAKS: dict[str, Breaks] = {
    "ExpectColumnValuesToBeNull": _present,
    "ExpectColumnValuesToNotBeNull": _absent,
    "ExpectColumnValuesToBeUnique": _repeated,
    "ExpectColumnValuesToBeInSet": _strange,
    "ExpectColumnValuesToBeBetween": _outside,
    "ExpectColumnValuesToMatchRegex": _unlike,
    "ExpectColumnPairValuesToBeEqual": _unequal,
}
