"""Worker: short trainings of the built-in model's network, with one thing changed."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from serve import serve

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.case_io import read_images
from glioseg.data.cohort.cases import find_cases
from glioseg.data.cohort.label_schemes import settle_schemes, shown_in
from glioseg.data.phantom import Drawn, DrawPlan, draw_case
from glioseg.data.phantom.contrast import draw_look
from glioseg.data.phantom.domain_randomisation import draw_randomised_plan
from glioseg.data.phantom.grid import Canvas
from glioseg.data.phantom.sampling import CasePlan, draw_head
from glioseg.data.store.phantom_stream import DrawnCase, HeldCase
from glioseg.evaluation.per_case import dense_labels
from glioseg.mlops.pretraining import draw_validation
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Segmenter
from glioseg.models.training.fit import fit
from glioseg.models.training.validation import hard_dice
from glioseg.params.pretraining import load_pretraining

PLAN = load_pretraining(Path("pipelines/pretrain.yaml"))


def typical_looks(rng: np.random.Generator) -> CasePlan:
    """Every kind of glioma, in heads and scans as they mostly are."""
    plan = draw_randomised_plan(rng)
    looks = {name: draw_look(name, enhancing=plan.tumour.enhancing, rng=rng) for name in MODALITIES}
    return replace(plan, head=draw_head(rng, plan.age), looks=looks)


def rings(rng: np.random.Generator) -> CasePlan:
    """One kind of glioma, in any head and scan."""
    return draw_randomised_plan(rng, "ring")


PLANS: dict[str, DrawPlan] = {
    "as they are": draw_randomised_plan,
    "typical looks": typical_looks,
    "rings": rings,
}


@dataclass(frozen=True)
class PlannedCase(DrawnCase):
    """A patient of one of `PLANS`."""

    patients: str = "as they are"

    def draw(self, canvas: Canvas) -> Drawn:
        """Draw what that says."""
        return draw_case(index=self.index, seed=self.seed, plans=PLANS[self.patients], canvas=canvas)[1]


@cache
def held_cases(cases: int | None) -> list[HeldCase]:
    """The validation patients of pretrain.yaml, or so many of each kind."""
    parts = PLAN.validation
    if cases:
        parts = tuple(part.model_copy(update={"cases": cases}) for part in parts)
    return draw_validation(PLAN.model_copy(update={"validation": parts}))


def train(
    *,
    patients: str,
    filters: int,
    loss: str,
    steps: int,
    seed: int,
    real: str | None,
    held: int | None = None,
    edge: int | None = None,
) -> dict[str, dict[str, float]]:
    """Train a variant, and score it: Dice by region of the drawn and, where there are any, real patients."""
    network = PLAN.network.model_copy(update={"base_filters": filters})
    changes = {"seed": seed, "loss": loss, "epochs": 1, "steps_per_epoch": steps}
    if edge:
        changes["patch_shape"] = (edge, edge, edge)
    setup = PLAN.train.model_copy(update=changes)
    cases = [
        PlannedCase(index, PLAN.stream.seed + seed, "domain_randomised", patients=patients)
        for index in range(PLAN.stream.cases)
    ]
    with TemporaryDirectory() as state:
        fitted = fit(
            network=network,
            train=setup,
            cases=cases,
            validation=held_cases(held),
            state=Path(state),
            on_epoch=lambda epoch, logs: None,
        )
    (epoch,) = fitted.history
    dice = {"drawn": {region: epoch[f"val_dice_{region.lower()}"] for region in REGIONS}}
    if real:
        settings = replace(
            Settings.untuned(network, setup, PLAN.crop, PLAN.inference), mirror=False, memory_gb=20
        )
        dice["real"] = _of_real(Segmenter((fitted.model,), settings), Path(real))
    return dice


def _of_real(segmenter: Segmenter, folder: Path) -> dict[str, float]:
    found = find_cases(folder)
    cases = [case for case in settle_schemes(found, [shown_in(case) for case in found]) if case.labelled]
    each = []
    for case in cases:
        truth = dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme)
        answer = segmenter.segment(read_images(case))
        each.append(hard_dice(regions_from_labels(truth), regions_from_labels(answer)))
    return dict(zip(REGIONS, np.mean(each, axis=0).tolist(), strict=True))


if __name__ == "__main__":
    serve(train)
