"""Benchmark: what reading and augmenting patches adds to a training step."""

from dataclasses import dataclass

import numpy as np

from bench.cohort import Cohort, prepare
from bench.options import Options
from bench.paired import ratios, take_turns
from bench.results import Goal, Result, Row
from bench.worker import Worker

TITLE = "Input pipeline: from disk beside one batch held in memory"
USES = ()
GOAL_PERCENT = 5.0


@dataclass(frozen=True)
class Setting:
    """Changes of params.yaml by section; steps of a timed block, and how many pairs of blocks."""

    changes: dict[str, dict[str, object]]
    steps: int
    pairs: int


FULL_DETAIL = {"spacing_mm": 1, "base_filters": 16, "depth": 5}
SETTINGS = {
    "params.yaml": Setting({}, 16, 5),
    "1 mm, 64³ × 2": Setting(
        {"network": FULL_DETAIL, "train": {"patch_shape": [64] * 3, "batch_size": 2}}, 12, 5
    ),
    "1 mm, 128³ × 1": Setting(
        {"network": FULL_DETAIL, "train": {"patch_shape": [128] * 3, "batch_size": 1}}, 8, 3
    ),
}
SMOKE = {
    "tiny": Setting({"network": {"base_filters": 2}, "train": {"patch_shape": [16] * 3}}, 6, 2),
}


def run(options: Options) -> Result:
    """Time blocks of training steps, fed from disk and from memory in turn."""
    cohort = prepare(options)
    rows = [_measure(*named, cohort, options) for named in (SMOKE if options.smoke else SETTINGS).items()]
    goals = [
        Goal(
            f"{row['settings']}: adds ≤ {GOAL_PERCENT:g} %",
            f"{row['added %']:.1f} %",
            row["added %"] <= GOAL_PERCENT,
        )
        for row in rows
    ]
    return Result(rows, goals)


def _measure(name: str, setting: Setting, cohort: Cohort, options: Options) -> Row:
    steps = setting.steps
    with Worker("ours_pipeline.py", log=options.log("ours_pipeline")) as ours:
        ours.ask("prepare", store=cohort.store, names=cohort.splits["train"], changes=setting.changes)
        sides = [lambda: ours.ask("memory", steps=steps), lambda: ours.ask("disk", steps=steps)]
        taken = take_turns(sides, rounds=setting.pairs)
        alone_s = ours.ask("batch_alone", batches=steps)
    memory_s, disk_s = np.median(taken, axis=0)
    added = {key: 100 * (value - 1) for key, value in ratios(taken).items()}
    return {
        "settings": name,
        "step from memory s": float(memory_s),
        "step from disk s": float(disk_s),
        "added %": added["ratio"],
        "added % q1": added["ratio q1"],
        "added % q3": added["ratio q3"],
        "one batch alone s": alone_s,
        "pairs": setting.pairs,
    }
