"""The Dice of each test case of `few_shot` in a CSV file, and the tables and the picture made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import NDArray

from bench.few_shot_design import BUILTIN, METHODS, Training
from bench.results import Row
from glioseg.core.files import write_atomic
from glioseg.core.labels import REGIONS
from glioseg.evaluation.summary import Summary, bootstrap
from glioseg.params import load_params

DICE = [f"dice_{region.lower()}" for region in REGIONS]
KEY = ("training", "trained_on", "minutes", "settings")
"""The columns by which a training is recognised: its name, its cases, its time and its settings."""
COLUMNS = [*KEY, "method", "cases", "fold", "case", *DICE, "seconds", "steps", "processor"]
DODGE = 0.06
"""Distance of the methods' points in the picture, so that their intervals do not cover each other."""


@dataclass(frozen=True)
class Scores:
    """A CSV file with a row for each training and each of its test cases."""

    path: Path

    def table(self) -> pd.DataFrame:
        """All rows; none if there is no file."""
        if not self.path.exists():
            return pd.DataFrame(columns=COLUMNS)
        text = dict.fromkeys(("training", "trained_on", "settings", "case"), str)
        return pd.read_csv(self.path, dtype=text, keep_default_na=False)

    def of(self, trainings: Sequence[Training], conditions: Mapping[str, Row]) -> pd.DataFrame:
        """The rows of those trainings that are done, under the conditions of each method."""
        table = self.table()
        wanted = {key(training, conditions) for training in trainings}
        found = [row in wanted for row in table[list(KEY)].itertuples(index=False, name=None)]
        return table[np.array(found, bool)]

    def add(self, training: Training, conditions: Mapping[str, Row], rows: Sequence[Row]) -> None:
        """Write the rows of a training, in place of those of the same name and minutes."""
        shared = dict(zip(KEY, key(training, conditions), strict=True))
        shared |= {"method": training.method, "cases": len(training.cases), "fold": training.fold}
        table = self.table()
        new = pd.DataFrame([{**shared, **row} for row in rows])[COLUMNS]
        others = table[(table["training"] != training.name) | (table["minutes"] != shared["minutes"])]
        table = pd.concat([others, new], ignore_index=True) if len(others) else new
        text = StringIO()
        table.sort_values(["training", "case"]).to_csv(text, index=False)
        write_atomic(self.path, text.getvalue().encode())


def key(training: Training, conditions: Mapping[str, Row]) -> tuple[object, ...]:
    """What identifies a training: the values of `KEY`."""
    condition = conditions[training.method]
    minutes = float(condition["minutes"]) if training.cases else 0.0
    return training.name, " ".join(training.cases), minutes, condition["settings"]


def missing(table: pd.DataFrame, trainings: Sequence[Training]) -> list[Training]:
    """The trainings that have no row yet."""
    done = set(table["training"])
    return [training for training in trainings if training.name not in done]


def counted_cases(table: pd.DataFrame, trainings: Sequence[Training]) -> set[str]:
    """The test cases on which all methods are compared: those of the folds that are finished.

    A fold is finished when all its trainings are that are tested on the whole fold. Before the first one is,
    all test cases that there are count.
    """
    open_folds = {training.fold for training in missing(table, trainings) if training.whole_fold}
    finished = [t for t in trainings if t.fold and t.whole_fold and t.fold not in open_folds]
    return {case for training in finished for case in training.tests} or set(table["case"])


def tables(table: pd.DataFrame, cases: set[str]) -> list[Row]:
    """The rows of two tables.

    The first has a row for each number of training cases, with mean Dice and interval of each method. The
    second has a row for each of these, with its regions and how far the built-in model is ahead of it.
    """
    table = table[table["case"].isin(cases)]
    groups = {
        (number, method): table[(table["cases"] == number) & (table["method"] == method)]
        for number in sorted(set(table["cases"]))
        for method in METHODS
    }
    groups = {key: group for key, group in groups.items() if len(group)}
    return [*_overview(groups), *(_details(groups, number, method) for number, method in groups)]


Groups = Mapping[tuple[int, str], pd.DataFrame]


def _overview(groups: Groups) -> list[Row]:
    rows = []
    for number in dict.fromkeys(number for number, _ in groups):
        cells = {METHODS[m]: _mean_and_interval(groups[n, m]) for n, m in groups if n == number}
        rows.append({"real cases": number} | dict.fromkeys(METHODS.values(), "") | cells)
    return rows


def _mean_and_interval(group: pd.DataFrame) -> str:
    found = summary(mean_dice(group))
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _details(groups: Groups, number: int, method: str) -> Row:
    group = groups[number, method]
    found = summary(mean_dice(group))
    trainings = group.drop_duplicates("training")
    return {
        "trained": METHODS[method],
        "cases": number,
        "mean Dice": found.mean,
        "interval": f"{found.low:.3f} to {found.high:.3f}",
        **{region: float(group[name].mean()) for region, name in zip(REGIONS, DICE, strict=True)},
        "test cases": len(group),
        "trainings": len(trainings) if number else 0,
        "minutes": float(trainings["seconds"].mean()) / 60,
        "steps": round(float(trainings["steps"].mean())),
        "the built-in model's lead": "" if method == BUILTIN else _lead(groups.get((number, BUILTIN)), group),
    }


def _lead(builtin: pd.DataFrame | None, other: pd.DataFrame) -> str:
    """Mean difference of the mean Dice over the test cases of both, with its interval."""
    if builtin is None:
        return ""
    difference = mean_dice(builtin).sub(mean_dice(other)).dropna()
    if not len(difference):
        return ""
    found = summary(difference)
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def mean_dice(group: pd.DataFrame) -> "pd.Series[float]":
    """The mean Dice of the three regions, by test case."""
    return group.set_index("case")[DICE].mean(axis=1)


def summary(values: "pd.Series[float]") -> Summary:
    """Mean and 95 % bootstrap interval of the mean over test cases."""
    evaluate = load_params().evaluate
    column: Float64[NDArray, "cases 1"] = values.to_numpy(np.float64)[:, None]
    return bootstrap(column, samples=evaluate.bootstrap_samples, seed=evaluate.seed)[0]


def points(table: pd.DataFrame, cases: set[str], method: str) -> dict[int, Summary]:
    """A method's mean Dice by the number of training cases; numbers that lack a test case are left out."""
    group = table[(table["method"] == method) & table["case"].isin(cases)]
    found = {number: mean_dice(part) for number, part in group.groupby("cases")}
    return {number: summary(dice) for number, dice in found.items() if set(dice.index) == cases}


def draw(path: Path, table: pd.DataFrame, cases: set[str]) -> None:
    """Draw mean Dice against the number of training cases, a line for each method, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    numbers = sorted(set(table["cases"]))
    for index, (method, title) in enumerate(METHODS.items()):
        if not (found := points(table, cases, method)):
            continue
        x = [numbers.index(number) + DODGE * (index - (len(METHODS) - 1) / 2) for number in found]
        y = [point.mean for point in found.values()]
        below = [point.mean - point.low for point in found.values()]
        above = [point.high - point.mean for point in found.values()]
        axes.errorbar(x, y, [below, above], marker="o", markersize=4, capsize=2, label=title)
    axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
    axes.set_xlim(-0.5, len(numbers) - 0.5)
    axes.set_ylim(0, 1)
    axes.set_xlabel("labelled real cases in the training")
    axes.set_ylabel("mean Dice of WT, TC, ET")
    axes.set_title(f"{len(cases)} real test cases; 95 % bootstrap intervals", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=len(METHODS))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
