"""Learning curves: the fitted power law, and the forecast for more cases."""

import numpy as np
import pytest

from glioseg.evaluation.learning_curve import PowerLaw, draw_learning_curve, fit_power_law, forecast


def test_the_law_is_found_in_points_that_obey_it() -> None:
    law = fit_power_law([0, 1, 3, 7], 1 - 0.3 * np.array([1.0, 2.0, 4.0, 8.0]) ** -0.25)
    assert law.start == pytest.approx(0.3)
    assert law.exponent == pytest.approx(0.25)
    # (1 + 15)^-0.25 is 1/2.
    assert law.dice(15) == pytest.approx(0.85)


def test_a_perfect_dice_can_be_fitted() -> None:
    assert fit_power_law([0, 4], np.array([0.9, 1.0])).dice(4) == pytest.approx(0.999)


def test_equal_cases_give_a_forecast_without_uncertainty() -> None:
    # Errors 0.4, 0.2 and 0.1 at 0, 3 and 15 cases: 0.4 (1 + n)^-0.5. With 48 more than 15, 1 + n is 64: 0.05.
    dice = np.tile([0.6, 0.8, 0.9], (5, 1))
    (found,) = forecast([0, 3, 15], dice, more=[48], samples=50, seed=0)
    assert (found.change, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert str(found) == "48 more cases: Dice +0.050 (+0.050 to +0.050)"


def test_cases_that_differ_widen_the_interval() -> None:
    # Training helps every second case, and harms the others.
    dice = np.array([[0.6, 0.9], [0.6, 0.5]] * 4)
    (found,) = forecast([0, 8], dice, more=[8], samples=500, seed=0)
    assert found.low < found.change < found.high
    law = fit_power_law([0, 8], np.array([0.6, 0.7]))
    assert found.change == pytest.approx(law.dice(16) - law.dice(8))


def test_the_curve_is_drawn(tmp_path) -> None:
    draw_learning_curve([0, 4], np.array([[0.6, 0.7], [0.5, 0.7]]), tmp_path / "new" / "curve.png", most=8)
    assert (tmp_path / "new" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert PowerLaw(0.5, 0.0).dice(100) == 0.5
