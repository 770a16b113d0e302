"""Benchmark: reading one training patch from the store."""

from bench.cohort import prepare
from bench.options import Options
from bench.results import Goal, Result, Row
from bench.worker import Worker
from glioseg.params import load_params

TITLE = "Reading a training patch"
USES = ()
GOAL_MS = 5.0
FULL_DETAIL = (1, (128, 128, 128))
DRAWS = 400
SMOKE, SMOKE_DRAWS = ((2, (16, 16, 16)), (1, (32, 32, 32))), 20


def run(options: Options) -> Result:
    """Draw patches as training does, from the cases that it trains on, and time what is read."""
    cohort, params = prepare(options), load_params()
    sizes = SMOKE if options.smoke else ((params.network.spacing_mm, params.train.patch_shape), FULL_DETAIL)
    asked = {
        "store": cohort.store,
        "names": cohort.splits["train"],
        "tumour_fraction": params.train.tumour_fraction,
        "draws": SMOKE_DRAWS if options.smoke else DRAWS,
    }
    with Worker("ours_patch.py", log=options.log("ours_patch")) as ours:
        rows: list[Row] = [
            {"patch": f"{'×'.join(map(str, shape))} at {spacing} mm"}
            | ours.ask("draw", spacing_mm=spacing, shape=shape, **asked)
            for spacing, shape in sizes
        ]
    goals = [
        Goal(f"{row['patch']}: ≤ {GOAL_MS:g} ms", f"{row['read ms']:.1f} ms", row["read ms"] <= GOAL_MS)
        for row in rows
    ]
    remarks = [
        "Read: all that `glioseg.models.training.patch_sampling.sample_patch` reads: it opens image (float16,"
        " four channels) and label (uint8), reads the patch of both, and the whole label where it is centred"
        " on tumour."
        " Sample: all that it does, the choice of the place and the image in float32 included.",
        "One thread on one core; the system holds the files in memory.",
    ]
    return Result(rows, goals, remarks)
