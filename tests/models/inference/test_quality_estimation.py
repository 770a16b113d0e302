import numpy as np
import pytest
from scipy.special import expit, logit

from glioseg.models.inference.out_of_distribution import FEATURES, Likeness
from glioseg.models.inference.quality_estimation import LOW, Belief, Confidence, believe, fit_lines

PLAIN = ((0.0, 1.0),) * 3
USUAL = np.zeros(len(FEATURES))


def confidence(found=PLAIN, empty=PLAIN, likeness=None):
    return Confidence(found, empty, likeness)


def test_a_belief_by_hand():
    regions = np.array([[0.9, 0.8, 0.4], [0.5, 0.2, 0.1], [0.2, 0.0, 0.0]], np.float32)
    belief = believe(np.array([1, 2, 0], np.uint8), regions)
    # WT: two voxels with 0.9 and 0.5 of 1.6; TC: one with 0.8 of 1.0; no ET, so that it is as TC.
    assert belief.dice.tolist() == pytest.approx([2 * 1.4 / (1.6 + 2), 2 * 0.8 / (1.0 + 1), 0.8])
    assert belief.empty.tolist() == [False, False, True]


def test_of_nothing_there_is_no_belief():
    belief = believe(np.zeros(2, np.uint8), np.full((2, 3), 0.1, np.float32))
    assert (belief.dice.tolist(), belief.empty.tolist()) == ([0.5] * 3, [True] * 3)


def test_an_answer_without_the_region_is_judged_apart():
    known = confidence(found=((0.0, 1.0), (1.0, 2.0), (9.0, 0.0)), empty=((0.0, 0.0),) * 2 + ((-1.0, 1.0),))
    belief = Belief(np.array([0.9, 0.75, 0.75]), np.array([False, False, True]))
    expected = known.expected_dice(belief)
    # ln 3 is the logit of 0.75.
    assert expected["WT"] == pytest.approx(0.9)
    assert expected["TC"] == pytest.approx(expit(1 + 2 * np.log(3)))
    assert expected["ET"] == pytest.approx(expit(-1 + np.log(3)))


def test_more_belief_never_means_less():
    rng = np.random.default_rng(0)
    beliefs, dice = rng.uniform(0.05, 0.95, (40, 3)), rng.uniform(0, 1, (40, 3))
    found, _ = fit_lines(beliefs, np.zeros((40, 3), bool), (dice > beliefs).astype(float), np.ones(40))
    assert all(b >= 0 for _, b in found)


def test_lines_are_found_again():
    """Many answers whose Dice is σ(−1 + 2 · logit(belief)); of empty ones each fourth is right."""
    beliefs = np.random.default_rng(1).uniform(0.1, 0.95, (4000, 3))
    empty = np.zeros((4000, 3), bool)
    empty[:2000, 2] = True
    dice = expit(-1 + 2 * logit(beliefs))
    dice[:2000, 2] = np.arange(2000) % 4 == 0
    found, gone = fit_lines(beliefs, empty, dice, np.ones(4000))
    for line in found:
        assert line == pytest.approx((-1, 2), abs=0.02)
    assert gone[2] == pytest.approx((logit(0.25), 0), abs=0.15)
    assert gone[:2] == ((0.0, 1.0), (0.0, 1.0))  # nothing was seen of them


def test_an_answer_may_count_as_several():
    beliefs, empty = np.full((3, 3), 0.5), np.zeros((3, 3), bool)
    dice = np.array([0.9, 0.2, 0.2])[:, np.newaxis].repeat(3, axis=1)
    once, _ = fit_lines(beliefs[:2], empty[:2], dice[:2], np.array([1.0, 2.0]))
    twice, _ = fit_lines(beliefs, empty, dice, np.ones(3))
    assert once[0] == pytest.approx(twice[0], abs=1e-3)


def test_low_is_said_with_its_reasons():
    likeness = Likeness(
        mean=(0.0,) * len(FEATURES), deviation=(1.0,) * len(FEATURES), limit=3.0, always=("t1", "t2")
    )
    odd = USUAL.copy()
    odd[FEATURES.index("t2 (sharpness)")] = -5.0
    sure, unsure = {"WT": 0.9, "ET": LOW}, {"WT": 0.9, "ET": 0.314}
    known = confidence(likeness=likeness)
    assert known.doubts(sure, USUAL) == ()
    assert known.doubts(unsure, USUAL) == ("ET: expected Dice 0.31",)
    assert known.doubts(unsure, odd) == ("ET: expected Dice 0.31", "unlike its training: t2 (sharpness)")
    assert confidence().doubts(sure, odd) == ()


def test_a_round_trip_through_json():
    import json
    from dataclasses import asdict

    likeness = Likeness((0.5,) * 35, (1.0,) * 35, 2.5, ("t1",))
    for known in (confidence(), confidence(((1.5, 0.5),) * 3, PLAIN, likeness)):
        assert Confidence.from_record(json.loads(json.dumps(asdict(known)))) == known
