"""Hyperparameter search with Optuna: the study, its search space, the queue of trials, and the workers."""

from optuna import Study

from glioseg.mlops.tuning.search_loop import (
    MONITORED,
    EstimateMeasures,
    Objective,
    Observer,
    Report,
    search,
    study_name,
)
from glioseg.mlops.tuning.study import (
    Measures,
    ParamValue,
    ParamValues,
    StudyError,
    TrialResult,
    best_trial,
    delete_study,
    load_studies,
    study_names,
    trial_result,
)
from glioseg.mlops.tuning.study_report import study_figures, study_page, write_study

__all__ = [
    "MONITORED", "EstimateMeasures", "Measures", "Objective", "Observer", "ParamValue", "ParamValues",
    "Report", "Study", "StudyError", "TrialResult", "best_trial", "delete_study", "load_studies", "search",
    "study_figures", "study_name", "study_names", "study_page", "trial_result", "write_study",
]  # fmt: skip
