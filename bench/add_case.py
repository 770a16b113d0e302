"""Benchmark: what one more case costs where many are prepared already."""

from collections.abc import Sequence
from statistics import median

from bench.cohort import many
from bench.options import Options
from bench.project import Project
from bench.results import Goal, Result, Row

TITLE = "One case more"
USES = ()
DONE, SMOKE_DONE, ROUNDS = 64, 3, 3
GOAL = 3.0


def run(options: Options) -> Result:
    """Prepare a cohort, then the same cohort and one case, beside that case alone."""
    *done, added = many(options)[: (SMOKE_DONE if options.smoke else DONE) + 1]
    work, log = options.work / "add_case", options.log("stages")
    grown, alone = Project.make(work / "grown", log=log), Project.make(work / "alone", log=log)
    alone.give([added])
    alone.prepare()  # compiles Python's files
    grown.give(done)
    all_s = grown.prepare()
    taken = []
    for _ in range(1 if options.smoke else ROUNDS):
        grown.give([*done, added])
        added_s = grown.prepare()
        alone.forget()
        alone_s = alone.prepare()
        grown.give(done)
        taken.append((added_s, alone_s, grown.prepare()))
    ratio = median(sum(more) / sum(one) for more, one, _ in taken)
    added_s, alone_s, removed_s = zip(*taken, strict=True)
    rows = [
        _row(f"{len(done)} cases from nothing", [all_s]),
        _row(f"one case added to {len(done)}", added_s),
        _row("that case alone, from nothing", alone_s),
        _row("that case removed again", removed_s),
    ]
    return Result(
        rows,
        [Goal(f"adding a case to {len(done)} ≤ {GOAL:g}× that case alone", f"{ratio:.2f}×", ratio <= GOAL)],
        ["The stages' own commands, start-up included: nearly all that removing a case takes is that."],
    )


def _row(name: str, taken: Sequence[tuple[float, float]]) -> Row:
    validate_s, crop_s = (median(seconds) for seconds in zip(*taken, strict=True))
    return {"prepared": name, "validate s": validate_s, "crop s": crop_s, "s": validate_s + crop_s}
