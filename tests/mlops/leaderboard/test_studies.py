"""Studies as the page shows them."""

from glioseg.mlops.leaderboard.studies import find_studies
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers import studies


def test_a_study_has_its_trials_best_trial_and_plots(project):
    (study,) = find_studies(project.client, ProjectStorage(project.root))
    assert study.name == studies.NAME
    assert study.trials == "3 complete, 2 pruned"
    best = project.study.best_trial
    assert study.best == f"{best.value:.3f} in trial {best.number}"
    assert study.tags["preset"] == "demo"
    titles = [figure["layout"]["title"]["text"] for figure in study.figures]
    assert len(titles) == 4
    assert {"Optimization History Plot", "Parallel Coordinate Plot", "Intermediate Values Plot"} <= set(
        titles
    )
