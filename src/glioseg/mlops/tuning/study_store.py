"""The studies that Optuna keeps: what they are called, all of them, and how to forget one."""

import optuna

from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning.study import database_errors


def kept_studies(lab: Lab) -> list[str]:
    """The names of all studies in the lab's database, which may not be there yet.

    Raises:
        SearchError: it is damaged.
    """
    if not all(database.exists() for database in lab.database_files):
        return []
    lab.prepare()
    with database_errors("studies"):
        return sorted(optuna.get_all_study_names(storage=lab.study_url))


def all_studies(lab: Lab) -> list[optuna.Study]:
    """Every study of a lab, the newest first."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    studies = [optuna.load_study(study_name=name, storage=lab.study_url) for name in kept_studies(lab)]
    return sorted(studies, key=lambda study: study._study_id, reverse=True)


def forget_study(lab: Lab, name: str) -> None:
    """Delete a study with its trials."""
    optuna.delete_study(study_name=name, storage=lab.study_url)
