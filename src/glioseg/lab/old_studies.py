"""The studies that Optuna keeps, and how to forget one."""

import optuna

from glioseg.lab.addresses import Lab
from glioseg.lab.locations import of_files

DATABASE = "optuna.db"


def kept_studies(lab: Lab) -> list[str]:
    """The names of all studies in the lab's database, which may not be there yet."""
    if of_files(lab) and not (lab.folder / DATABASE).exists():
        return []
    return sorted(optuna.get_all_study_names(storage=lab.study_url))


def forget_study(lab: Lab, name: str) -> None:
    """Delete a study with its trials."""
    optuna.delete_study(study_name=name, storage=lab.study_url)
