"""Calibrates the confidence of a model on real cases, and measures it on cases that were left out.

A model that was trained and calibrated on synthetic cases is too sure of real ones. A few labelled real cases
and their corrupted copies show by how much.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.quality_estimation import LOW_DICE
from glioseg.models.inference.uncertainty import fit_volume_intervals
from glioseg.models.selection.corruption_study import (
    Copy,
    ScoredScan,
    fit_estimator,
    score_scans,
)
from glioseg.models.selection.corruptions import KINDS
from glioseg.models.selection.unseen_case import UnseenCase

MIN_CASES = 4
"""With fewer cases there is no interval."""


def score_real_cases(cases: Sequence[UnseenCase], settings: Settings) -> list[ScoredScan]:
    """Predict each case as it is, and with every kind of corruption once.

    Predictions are made with mirroring if the settings say so, as in use. The corruptions of a case depend on
    its name, and not on the other cases.
    """
    copies = [
        Copy(number, kind, (crc32(unseen.case.name.encode()), place))
        for number, unseen in enumerate(cases)
        for place, kind in enumerate(KINDS, 1)
    ]
    return score_scans(cases, copies, settings)


def calibrate_confidence(scored: Sequence[ScoredScan], settings: Settings) -> Settings:
    """The settings with intervals and expected Dice from real cases; all other settings stay.

    Args:
        scored: as from `score_real_cases`.
        settings: settings of the model, whose detection of unusual scans stays too.
    """
    errors = np.stack([scan.volume_errors for scan in scored])
    known = settings.confidence.out_of_distribution if settings.confidence else None
    return replace(
        settings,
        confidence=replace(fit_estimator(scored), out_of_distribution=known),
        volume_intervals=fit_volume_intervals(errors, cases=len({scan.case for scan in scored})),
        calibrated_on="real",
    )


def add_unmirrored(settings: Settings, unmirrored: Settings) -> Settings:
    """Settings calibrated with mirroring, and beside them what was calibrated without it."""
    return replace(
        settings,
        confidence_unmirrored=unmirrored.confidence,
        volume_intervals_unmirrored=unmirrored.volume_intervals,
    )


def leave_one_out(scored: Sequence[ScoredScan], settings: Settings) -> dict[str, dict[str, Any]]:
    """How good intervals and expected Dice are for cases that were left out, with all their copies.

    Args:
        scored: as from `score_real_cases`.
        settings: the settings before, whose expected Dice is compared.

    Returns:
        By region the scores `measure`, of the expected Dice, `before`, of that of `settings` on the same
        scans, and `coverage`, the share of true volumes inside their interval.

    Raises:
        ValueError: the scans are of `MIN_CASES` cases or fewer.
    """
    estimates, before, low, inside, dice = (np.full((len(scored), 3), np.nan) for _ in range(5))
    for left_out in {scan.case for scan in scored}:
        chosen = calibrate_confidence([scan for scan in scored if scan.case != left_out], settings)
        if chosen.confidence is None or chosen.volume_intervals is None:
            raise ValueError(f"expected scans of more than {MIN_CASES} cases")
        shift, half_width = (
            np.array(x) for x in (chosen.volume_intervals.shift, chosen.volume_intervals.half_width)
        )
        for row, scan in enumerate(scored):
            if scan.case != left_out:
                continue
            estimates[row] = _numbers(chosen.confidence.estimate_dice(scan.expected))
            if settings.confidence:
                before[row] = _numbers(settings.confidence.estimate_dice(scan.expected))
            low[row], dice[row] = chosen.confidence.low_dice, scan.dice
            inside[row] = np.where(
                np.isnan(scan.volume_errors), np.nan, np.abs(scan.volume_errors - shift) <= half_width
            )
    return {
        region: measure(estimates[:, r], dice[:, r], low[:, r])
        | {
            "before": measure(before[:, r], dice[:, r], np.full(len(scored), LOW_DICE)),
            "coverage": float(np.nanmean(inside[:, r])),
        }
        for r, region in enumerate(REGIONS)
    }


def measure(
    expected: Float64[NDArray, "scans"], dice: Float64[NDArray, "scans"], low: Float64[NDArray, "scans"]
) -> dict[str, Any]:
    """Scores of the expected Dice of a region.

    Args:
        expected: the expected Dice; NaN where it is not stated, which counts as low confidence.
        dice: the true Dice; NaN where the region cannot be judged, which does not count.
        low: the threshold of low confidence.

    Returns:
        `stated`: number of predictions with an expected Dice; `r`: their correlation with the true Dice;
        `flagged`: of the predictions with a Dice below `LOW_DICE`, how many have low confidence, and their
        number; `false_alarms`: the same of the other predictions; both of the predictions with an expected
        Dice; `not_stated`: predictions without one: how many are good, and their number.

    >>> d = np.array([0.9, 0.8, 0.2, 0.1, 1.0])
    >>> scores = measure(np.array([0.8, 0.5, 0.7, 0.2, np.nan]), d, np.full(5, 0.6))
    >>> scores["flagged"], scores["false_alarms"], scores["not_stated"]
    ([1, 2], [1, 2], [1, 1])
    """
    judged, stated = np.isfinite(dice), np.isfinite(dice) & np.isfinite(expected)
    bad, silent, flag = dice < LOW_DICE, judged & ~stated, expected < low
    pair = expected[stated], dice[stated]
    return {
        "stated": int(stated.sum()),
        "r": float(np.corrcoef(*pair)[0, 1]) if stated.any() and min(map(np.ptp, pair)) > 0 else None,
        "mean_absolute_error": float(np.abs(pair[0] - pair[1]).mean()) if stated.any() else None,
        "flagged": [int((stated & bad & flag).sum()), int((stated & bad).sum())],
        "false_alarms": [int((stated & ~bad & flag).sum()), int((stated & ~bad).sum())],
        "not_stated": [int((silent & ~bad).sum()), int(silent.sum())],
    }


def _numbers(estimates: dict[str, float | None]) -> list[float]:
    return [np.nan if dice is None else dice for dice in estimates.values()]
