"""Learns the weights of `modality_order` from phantoms: `python -m glioseg.data.quality.modality_training`.

It renders the phantoms (seconds each, on all cores) and replaces the weights in the package. The same
phantoms give the same weights, except for rounding.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.optimize import minimize

from glioseg.compute import LOCAL
from glioseg.core.brain import brain_mask
from glioseg.core.files import write_atomic
from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom import make_case
from glioseg.data.quality.modality_order import (
    WEIGHTS,
    CaseFeatures,
    ModalityClassifier,
    measure_features,
    orders,
)
from glioseg.params.sections import PhantomPreset

SEED = 2021
PHANTOMS: dict[PhantomPreset, int] = {"domain_randomised": 80, "typical": 60}
"""Number of phantoms of each preset."""
PENALTY = 10.0
"""Weight of the squared weights beside the log-likelihood (ridge)."""
DECIMALS = 4
"""Of the stored numbers."""

Example = tuple[Float64[NDArray, "_ w"], int]
"""The vectors of all orders of some images, and the number of the right one."""


def phantom_features(preset: PhantomPreset, index: int) -> CaseFeatures:
    """The features of one phantom, whose images are in the order of `MODALITIES`."""
    images = list(make_case(index=index, seed=SEED, preset=preset).images.values())
    features = measure_features(images, brain_mask(images), (1.0, 1.0, 1.0))
    if features is None:
        raise ValueError(f"expected a phantom with a brain, got {preset} {index}")
    return features


def learn(cases: Sequence[CaseFeatures]) -> ModalityClassifier:
    """The classifier with the highest penalised likelihood of the right orders of all subsets of the images.

    Args:
        cases: features of cases with the images of all modalities, in the order of `MODALITIES`.
    """
    different = ~np.eye(len(MODALITIES), dtype=bool)
    single = np.concatenate([case.single for case in cases])
    pair = np.concatenate([case.pair[different] for case in cases])
    single_mean, single_deviation = single.mean(axis=0), single.std(axis=0)
    single_mean[-1], single_deviation[-1] = 0, 1  # the constant feature remains 1
    classifier = ModalityClassifier(
        single_mean, single_deviation, pair.mean(axis=0), pair.std(axis=0), np.zeros(0)
    )
    examples = list(_examples(classifier, cases))
    start = np.zeros(examples[0][0].shape[1])
    found = minimize(_loss_and_gradient, start, args=(examples,), jac=True, method="L-BFGS-B")
    return replace(classifier, weights=found.x)


def _examples(classifier: ModalityClassifier, cases: Iterable[CaseFeatures]) -> Iterator[Example]:
    every = range(len(MODALITIES))
    subsets = [subset for size in every for subset in combinations(every, size + 1)]
    for case in cases:
        for subset in subsets:
            vectors = classifier.order_vectors(case.of_images(subset))
            yield vectors, orders(len(subset)).index(subset)


def _loss_and_gradient(
    weights: Float64[NDArray, " w"], examples: Sequence[Example]
) -> tuple[float, Float64[NDArray, " w"]]:
    loss, gradient = 0.5 * PENALTY * float(weights @ weights), PENALTY * weights
    for vectors, right in examples:
        scores = vectors @ weights
        scores -= scores.max()
        probabilities = np.exp(scores)
        total = probabilities.sum()
        loss += float(np.log(total) - scores[right])
        gradient = gradient + (probabilities / total) @ vectors - vectors[right]
    return loss, gradient


def main() -> None:
    """Render the phantoms, learn the weights, and write them into the package."""
    wanted = [(preset, index) for preset, count in PHANTOMS.items() for index in range(count)]
    cases = list(LOCAL.map(_features_of, wanted, title="render phantoms"))
    numbers = {name: np.round(values, DECIMALS).tolist() for name, values in asdict(learn(cases)).items()}
    write_atomic(WEIGHTS, json.dumps(numbers).replace("], ", "],\n ").encode() + b"\n")


def _features_of(wanted: tuple[PhantomPreset, int]) -> CaseFeatures:
    return phantom_features(*wanted)


if __name__ == "__main__":
    main()
