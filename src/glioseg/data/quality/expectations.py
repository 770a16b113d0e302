"""The words of a data contract: rules over a measured table, written so that a person can read a violation.

A rule names an expectation of Great Expectations but does not import it: `glioseg.data.quality.gx_validation` does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from glioseg.data.quality.validation_report import Finding
from glioseg.params.contract import Severity

Where = tuple[str, str | bool]
"""A column and the value that it has in the rows meant."""

Record = dict[str, object]
"""One row of a measured table. Each has `case`, `role` and `file`; None is what could not be measured."""


@dataclass(frozen=True)
class Rule:
    """One expectation over one column or a pair of columns.

    `kind`: the class in `great_expectations.expectations`; `settings`: its arguments; `expected` and
    `observed`: what a violation says, `{column}` stands for the row's value; `where`: only rows with
    this value in this column; `role`, `file`: where the violation lies; `severity`: how much it
    weighs. None breaks no rule but that of `present`.
    """

    name: str
    kind: str
    expected: str
    observed: str
    settings: dict[str, object]
    where: Where | None = None
    role: str = "{role}"
    file: str = "{file}"
    severity: Severity = "critical"

    def finding(self, row: Record) -> Finding:
        """Say that a row breaks this rule.

        Args:
            row: holds at least `case`, `role`, `file` and the rule's own columns.
        """
        values = {column: as_text(value) for column, value in row.items()}
        role, file, expected, observed = (
            words.format(**values) for words in (self.role, self.file, self.expected, self.observed)
        )
        return Finding(values["case"], role, file, self.name, expected, observed, self.severity)


@dataclass(frozen=True)
class Table:
    """A measured table and the rules that it is held to."""

    name: str
    records: Sequence[Record]
    rules: Sequence[Rule] = field(default_factory=list)


def absent(name: str, column: str, *, expected: str, observed: str) -> Rule:
    """The column must be empty: a value in it tells what is wrong."""
    return Rule(name, "ExpectColumnValuesToBeNull", expected, observed, {"column": column})


def present(
    name: str,
    column: str,
    *,
    expected: str,
    observed: str,
    where: Where | None = None,
    role: str = "{role}",
    file: str = "{file}",
) -> Rule:
    """The column must have a value."""
    kind = "ExpectColumnValuesToNotBeNull"
    return Rule(name, kind, expected, observed, {"column": column}, where, role, file)


def unique(name: str, column: str, *, expected: str, observed: str) -> Rule:
    """No value may occur twice in the column."""
    return Rule(name, "ExpectColumnValuesToBeUnique", expected, observed, {"column": column})


def one_of(name: str, column: str, values: Iterable[object], *, expected: str, observed: str) -> Rule:
    """The column's values must be among these."""
    settings: dict[str, object] = {"column": column, "value_set": list(values)}
    return Rule(name, "ExpectColumnValuesToBeInSet", expected, observed, settings)


def between(name: str, column: str, *, expected: str, observed: str, **bounds: int | float) -> Rule:
    """The column's values must lie within bounds: `min_value`, `max_value`, `strict_min`."""
    settings: dict[str, object] = {"column": column, **bounds}
    return Rule(name, "ExpectColumnValuesToBeBetween", expected, observed, settings)


def equal(name: str, column: str, other: str, *, expected: str) -> Rule:
    """Two columns must hold the same value in each row where both have one."""
    settings: dict[str, object] = {
        "column_A": column,
        "column_B": other,
        "ignore_row_if": "either_value_is_missing",
    }
    return Rule(name, "ExpectColumnPairValuesToBeEqual", expected, f"{{{column}}}", settings)


def only_labels(
    name: str, column: str, values: Iterable[int], *, expected: str, where: Where | None = None
) -> Rule:
    """The column's lists of values, as `listed` writes them, may hold these digits alone."""
    digits = "".join(str(int(value)) for value in sorted(values))
    settings: dict[str, object] = {"column": column, "regex": f"^[{digits}](?:, [{digits}])*$"}
    return Rule(name, "ExpectColumnValuesToMatchRegex", expected, f"{{{column}}}", settings, where)


def listed(values: Iterable[int | float] | None) -> str | None:
    """Write label values for a table or a message.

    >>> listed((0.0, 1.0, 2.5))
    '0, 1, 2.5'
    """
    return None if values is None else ", ".join(f"{value:g}" for value in values)


def as_text(value: object) -> str:
    """Write a measured value for a message: whole numbers plainly, others to six digits.

    >>> as_text(8928000.0), as_text(0.123456789), as_text("LPS")
    ('8928000', '0.123457', 'LPS')
    """
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    return str(value)
