"""Train the built-in models, which takes hours, and put them into the package (`make pretrain REAL=FOLDER`).

The phases on synthetic cases give `builtin-synthetic`. Training on labelled real cases, in folders of any
layout, then gives `builtin`; without folders it stays as it is.
"""

import sys
from pathlib import Path

from _stage import run
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.params.pretraining import load_pretraining

SETTINGS = Path("pipelines/pretrain.yaml")


def main() -> None:
    plan, storage, folders = load_pretraining(SETTINGS), ProjectStorage.current(), map(Path, sys.argv[1:])
    # Imports TensorFlow after the settings are checked.
    from glioseg.mlops.pretraining.phases import train_phases
    from glioseg.mlops.pretraining.publish import publish_synthetic, publish_trained_on_real_cases
    from glioseg.mlops.pretraining.real_cases import crop_real_cases, train_on_real_cases

    published, phases = builtin.folder_of(builtin.SYNTHETIC) / MODEL_FILE, train_phases(plan, storage)
    if phases.weights != published:
        publish_synthetic(plan, phases)
    print(f"pretrain: {builtin.SYNTHETIC} is in {published.parent}")
    if real := list(folders):
        cohort = crop_real_cases(real, plan, storage)
        trained = train_on_real_cases(plan, cohort, storage, start=published)
        for line in publish_trained_on_real_cases(plan, phases, trained):
            print(f"pretrain: {line}")
        print(f"pretrain: {builtin.ADDRESS} is in {builtin.folder_of(builtin.ADDRESS)}")


if __name__ == "__main__":
    run(main)
