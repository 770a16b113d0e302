import numpy as np
import pytest

from glioseg.data.phantom import plan_case

PLANS = [plan_case(index=index, seed=0) for index in range(200)]


def test_plans_cover_the_cohort():
    foci = [plan.tumour.foci[0] for plan in PLANS]
    share = {
        "HGG": np.mean([plan.grade == "HGG" for plan in PLANS]),
        "left": np.mean([focus.site_mm[0] < 0 for focus in foci]),
        "no enhancement": np.mean([not plan.tumour.enhancing for plan in PLANS]),
        "multifocal": np.mean([len(plan.tumour.foci) > 1 for plan in PLANS]),
        "tiny": np.mean([focus.core_ml < 4 for focus in foci]),
    }
    expected = {"HGG": 0.77, "left": 0.5, "no enhancement": 0.21, "multifocal": 0.13, "tiny": 0.1}
    # Binomial standard error of a share of 200 is at most 0.035.
    assert share == pytest.approx(expected, abs=0.1)


def test_age_size_and_grade_tell_survival():
    known = [plan for plan in PLANS if plan.survival_days is not None]
    log_days = np.log([plan.survival_days for plan in known])
    traits = np.array([(plan.age, np.log(plan.tumour.core_ml), plan.grade == "HGG") for plan in known], float)
    correlation = np.corrcoef(traits.T, log_days)[-1, :-1]
    assert (correlation < [-0.25, -0.15, -0.25]).all()
    ages = {g: np.mean([p.age for p in PLANS if p.grade == g]) for g in ("HGG", "LGG")}
    assert ages["HGG"] > ages["LGG"] + 8
    known_by_grade = {g: np.mean([p.grade == g for p in known]) for g in ("HGG", "LGG")}
    assert known_by_grade["HGG"] > known_by_grade["LGG"]
