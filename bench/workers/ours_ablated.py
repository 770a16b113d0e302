"""Worker: short trainings of the built-in model's network, with one thing changed."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from serve import serve

from glioseg.core.dice import dice_per_channel
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import read_images
from glioseg.data.cohort.ingest import detect_case_scheme, resolve_schemes
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.phantom import PlanSampler, RenderedPhantom, render_case
from glioseg.data.phantom.contrast import sample_contrast
from glioseg.data.phantom.domain_randomisation import sample_randomised_plan
from glioseg.data.phantom.grid import PhantomGrid
from glioseg.data.phantom.sampling import CasePlan, sample_head
from glioseg.data.store.phantom_stream import CachedSyntheticCase, SyntheticCase
from glioseg.evaluation.per_case import dense_labels
from glioseg.mlops.pretraining import render_validation
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Predictor
from glioseg.models.training.fit import fit
from glioseg.params.pretraining import load_pretraining

PLAN = load_pretraining(Path("pipelines/pretrain.yaml"))


def typical_looks(rng: np.random.Generator) -> CasePlan:
    """Every kind of glioma, in heads and scans as they mostly are."""
    plan = sample_randomised_plan(rng)
    contrasts = {name: sample_contrast(name, enhancing=plan.tumour.enhancing, rng=rng) for name in MODALITIES}
    return replace(plan, head=sample_head(rng, plan.age), contrasts=contrasts)


def rings(rng: np.random.Generator) -> CasePlan:
    """One kind of glioma, in any head and scan."""
    return sample_randomised_plan(rng, "ring")


PLAN_SAMPLERS: dict[str, PlanSampler] = {
    "as they are": sample_randomised_plan,
    "typical looks": typical_looks,
    "rings": rings,
}


@dataclass(frozen=True)
class PlannedCase(SyntheticCase):
    """A patient of one of `PLAN_SAMPLERS`."""

    patients: str = "as they are"

    def render(self, grid: PhantomGrid) -> RenderedPhantom:
        """Draw what that says."""
        sample_plan = PLAN_SAMPLERS[self.patients]
        return render_case(index=self.index, seed=self.seed, sample_plan=sample_plan, grid=grid)[1]


@cache
def held_cases(cases: int | None) -> list[CachedSyntheticCase]:
    """The validation patients of pretrain.yaml, or so many of each kind."""
    parts = PLAN.validation
    if cases:
        parts = tuple(part.model_copy(update={"cases": cases}) for part in parts)
    return render_validation(PLAN.model_copy(update={"validation": parts}))


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
        dice["real"] = _of_real(Predictor((fitted.model,), settings), Path(real))
    return dice


def _of_real(predictor: Predictor, folder: Path) -> dict[str, float]:
    found = find_cases(folder)
    resolved = resolve_schemes(found, [detect_case_scheme(case) for case in found])
    cases = [case for case in resolved if case.labelled]
    each = []
    for case in cases:
        truth = dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme)
        answer = predictor.segment(read_images(case))
        each.append(dice_per_channel(regions_from_labels(truth), regions_from_labels(answer)))
    return dict(zip(REGIONS, np.mean(each, axis=0).tolist(), strict=True))


if __name__ == "__main__":
    serve(train)
