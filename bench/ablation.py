"""Benchmark: what each part of the built-in model's training brings, in short trainings with one change."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

from bench.options import Options
from bench.results import Result, Row, once
from bench.worker import Worker
from glioseg.core.labels import REGIONS

TITLE = "What each part of the built-in model's training brings"
USES = ("real",)
STEPS = 200


@dataclass(frozen=True)
class Variant:
    """A training: which patients it draws (see the worker's `PLANS`), and what else is not as usual."""

    patients: str = "as they are"
    filters: int = 8
    loss: str = "dice_ce"
    steps: int = STEPS
    seed: int = 1


VARIANTS: Mapping[str, Variant] = {
    "nothing": Variant(),
    "nothing, another seed": Variant(seed=2),
    "looks and heads as scans mostly have them": Variant(patients="typical looks"),
    "ring-enhancing gliomas alone": Variant(patients="rings"),
    "Dice alone as loss": Variant(loss="dice"),
    "focal Tversky loss": Variant(loss="focal_tversky"),
    "half the steps": Variant(steps=STEPS // 2),
    "half the filters": Variant(filters=4),
    "twice the filters": Variant(filters=16),
}


def run(options: Options) -> Result:
    """Train each variant, and score it on drawn patients that none learns from, and on real ones."""
    size = {"steps": 2, "held": 1, "edge": 16, "real": None} if options.smoke else {"real": options.real}
    rows = []
    with Worker("ours_ablated.py", log=options.log("ablation")) as worker:
        for changed, variant in VARIANTS.items():
            given = asdict(variant) | size
            name = sha256(json.dumps(given, default=str, sort_keys=True).encode()).hexdigest()[:12]
            kept = options.work / f"ablation/{name}.json"
            dice = once(kept, lambda given=given: worker.ask("train", **given))
            rows.append({"changed": changed, **_columns(dice)})
            print(f"ablation: {changed}: {rows[-1]}", flush=True)
    remarks = [
        f"{STEPS} steps of one patch and {Variant.filters} filters where nothing else is said, as"
        " pipelines/pretrain.yaml has it otherwise; one straight look, threshold 0.5, nothing removed.",
        "The built-in model has learned far longer: what is small here may be large there, and the other way"
        " round. Two seeds of the same training say what chance does.",
    ]
    return Result(rows, [], remarks)


def _columns(dice: Mapping[str, Mapping[str, float]]) -> Row:
    """Mean Dice, and that of each region, by the kind of patients."""
    columns = {}
    for patients, of in dice.items():
        columns[f"{patients}: mean"] = sum(of.values()) / len(of)
        columns |= {f"{patients}: {region}": of[region] for region in REGIONS}
    return columns
