"""Expectations for a table of measurements, their findings, and evaluation without Great Expectations.

An expectation names a class of Great Expectations, which `glioseg.data.quality.gx_validation` evaluates for
a cohort. Importing that library takes eight seconds, so `evaluate_table` evaluates the same classes for a
single case. A test checks that both give the same findings.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glioseg.params.contract import Severity

Condition = tuple[str, str | bool]
"""A column and its value in the rows that an expectation applies to."""

Row = dict[str, object]
"""One row of a table of measurements, with `case`, `role` and `file`; None if a value cannot be measured."""


@dataclass(frozen=True)
class Finding:
    """One expectation that one file of one case violates.

    `severity`: a case with a critical finding is refused; warning and info have no effect.
    """

    case: str
    role: str
    file: str
    expectation: str
    expected: str
    observed: str
    severity: Severity = "critical"

    @property
    def message(self) -> str:
        """What was expected and what came."""
        return f"expected {self.expected}, got {self.observed}"

    @property
    def brief(self) -> dict[str, str]:
        """The finding for the response to a client that sent one case: rule, field, severity and message."""
        return {
            "rule": self.expectation,
            "field": self.role,
            "severity": self.severity,
            "message": self.message,
        }

    def __str__(self) -> str:
        where = f"{self.case}/{self.role}" if self.role else self.case
        file = f" ({self.file})" if self.file else ""
        return f"{where}{file}: {self.expectation}: {self.message}"


@dataclass(frozen=True)
class Expectation:
    """One expectation for one column or a pair of columns.

    `kind`: the class in `great_expectations.expectations`; `settings`: its arguments; `expected` and
    `observed`: the texts of a finding, in which `{column}` stands for the value in the row; `where`: applies
    to rows with this value in this column only; `role`, `file`: the location of a finding. A missing value
    (None) violates only expectations made by `present`.
    """

    name: str
    kind: str
    expected: str
    observed: str
    settings: dict[str, object]
    where: Condition | None = None
    role: str = "{role}"
    file: str = "{file}"
    severity: Severity = "critical"

    def finding(self, row: Row) -> Finding:
        """The finding for a row that violates this expectation.

        Args:
            row: holds at least `case`, `role`, `file` and the columns of the expectation.
        """
        values = {column: as_text(value) for column, value in row.items()}
        role, file, expected, observed = (
            text.format(**values) for text in (self.role, self.file, self.expected, self.observed)
        )
        return Finding(values["case"], role, file, self.name, expected, observed, self.severity)


@dataclass(frozen=True)
class Table:
    """A table of measurements and its expectations."""

    name: str
    rows: Sequence[Row]
    expectations: Sequence[Expectation] = field(default_factory=list)


def absent(name: str, column: str, *, expected: str, observed: str) -> Expectation:
    """The column must be empty, because its values describe problems."""
    return Expectation(name, "ExpectColumnValuesToBeNull", expected, observed, {"column": column})


def present(
    name: str,
    column: str,
    *,
    expected: str,
    observed: str,
    where: Condition | None = None,
    role: str = "{role}",
    file: str = "{file}",
) -> Expectation:
    """The column must have a value."""
    kind = "ExpectColumnValuesToNotBeNull"
    return Expectation(name, kind, expected, observed, {"column": column}, where, role, file)


def unique(name: str, column: str, *, expected: str, observed: str) -> Expectation:
    """No value may occur twice in the column."""
    return Expectation(name, "ExpectColumnValuesToBeUnique", expected, observed, {"column": column})


def one_of(name: str, column: str, values: Iterable[object], *, expected: str, observed: str) -> Expectation:
    """The values of the column must be among `values`."""
    settings: dict[str, object] = {"column": column, "value_set": list(values)}
    return Expectation(name, "ExpectColumnValuesToBeInSet", expected, observed, settings)


def between(name: str, column: str, *, expected: str, observed: str, **bounds: int | float) -> Expectation:
    """The values of the column must lie within bounds: `min_value`, `max_value`, `strict_min`."""
    settings: dict[str, object] = {"column": column, **bounds}
    return Expectation(name, "ExpectColumnValuesToBeBetween", expected, observed, settings)


def equal(name: str, column: str, other: str, *, expected: str) -> Expectation:
    """Two columns must hold the same value in each row where both have one."""
    settings: dict[str, object] = {
        "column_A": column,
        "column_B": other,
        "ignore_row_if": "either_value_is_missing",
    }
    return Expectation(name, "ExpectColumnPairValuesToBeEqual", expected, f"{{{column}}}", settings)


def only_labels(
    name: str, column: str, values: Iterable[int], *, expected: str, where: Condition | None = None
) -> Expectation:
    """The lists of values in the column, as written by `listed`, may hold only these."""
    allowed = f"(?:{'|'.join(str(int(value)) for value in sorted(values))})"
    settings: dict[str, object] = {"column": column, "regex": f"^{allowed}(?:, {allowed})*$"}
    return Expectation(name, "ExpectColumnValuesToMatchRegex", expected, f"{{{column}}}", settings, where)


def listed(values: Iterable[int | float] | None) -> str | None:
    """Label values as text, for a table or a message.

    >>> listed((0.0, 1.0, 2.5))
    '0, 1, 2.5'
    """
    return None if values is None else ", ".join(f"{value:g}" for value in values)


def as_text(value: object) -> str:
    """A measured value as text: whole numbers without a decimal point, others with six significant digits.

    >>> as_text(8928000.0), as_text(0.123456789), as_text("LPS")
    ('8928000', '0.123457', 'LPS')
    """
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    return str(value)


def evaluate_table(table: Table) -> Iterator[Finding]:
    """The findings of a table, the same as those of Great Expectations."""
    for expectation in table.expectations:
        where = expectation.where
        rows = [row for row in table.rows if where is None or row[where[0]] == where[1]]
        violated = VIOLATIONS[expectation.kind](rows, expectation.settings)
        yield from (expectation.finding(row) for row, bad in zip(rows, violated, strict=True) if bad)


Settings = Mapping[str, Any]


def _has_value(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    return (row[settings["column"]] is not None for row in rows)


def _has_no_value(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    return (row[settings["column"]] is None for row in rows)


def _is_repeated(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    values = [row[settings["column"]] for row in rows]
    counts = Counter(value for value in values if value is not None)
    return (counts[value] > 1 for value in values)


def _is_not_in_set(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    return _is_invalid(rows, settings, lambda value: value in settings["value_set"])


def _is_out_of_bounds(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    low, high = settings.get("min_value", -float("inf")), settings.get("max_value", float("inf"))
    strict = settings.get("strict_min", False)
    return _is_invalid(rows, settings, lambda value: low <= value <= high and not (strict and value == low))


def _does_not_match(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    return _is_invalid(rows, settings, lambda value: re.search(settings["regex"], value) is not None)


def _is_unequal(rows: Sequence[Row], settings: Settings) -> Iterator[bool]:
    pairs = ((row[settings["column_A"]], row[settings["column_B"]]) for row in rows)
    return (one is not None and other is not None and one != other for one, other in pairs)


def _is_invalid(rows: Sequence[Row], settings: Settings, valid: Callable[[Any], bool]) -> Iterator[bool]:
    values = (row[settings["column"]] for row in rows)
    return (value is not None and not valid(value) for value in values)


VIOLATIONS: dict[str, Callable[[Sequence[Row], Settings], Iterator[bool]]] = {
    "ExpectColumnValuesToBeNull": _has_value,
    "ExpectColumnValuesToNotBeNull": _has_no_value,
    "ExpectColumnValuesToBeUnique": _is_repeated,
    "ExpectColumnValuesToBeInSet": _is_not_in_set,
    "ExpectColumnValuesToBeBetween": _is_out_of_bounds,
    "ExpectColumnValuesToMatchRegex": _does_not_match,
    "ExpectColumnPairValuesToBeEqual": _is_unequal,
}
"""For each kind of expectation, whether each row violates it, from the rows and the settings."""
