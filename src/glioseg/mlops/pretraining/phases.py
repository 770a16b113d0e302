"""Trains a network on synthetic cases in phases; each phase starts from the weights of the previous one.

The phases of a model may come from several versions of the phantom generator: weights that took hours stay
valid when the generator changes, and a new phase starts from them. The record of the model names the commit
and the generator of each phase.
"""

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from glioseg.compute import Cluster
from glioseg.core.files import read_json, write_atomic
from glioseg.core.fingerprint import files_fingerprint, sha256_bytes
from glioseg.core.old_names import COLUMNS, FIELDS, with_current_names
from glioseg.data import phantom
from glioseg.data.store.phantom_stream import CachedSyntheticCase, PhantomStream
from glioseg.mlops.tracking.git_dvc import current_commit
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.training_run import draw_learning_curves, training_run
from glioseg.models import builtin
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.models.training.distributed import describe_device
from glioseg.params.pretraining import Phase, Pretraining
from glioseg.params.sections import Phantom

REQUIREMENTS_LOCK, REPORTS = Path("requirements.lock"), Path("reports/pretrain")


@dataclass(frozen=True)
class TrainedPhases:
    """The weights after a number of phases, None before the first.

    `history` has a row for each epoch, with column `phase`; `origins` has the result of `current_origin` for
    each phase.
    """

    weights: Path | None = None
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    origins: tuple[dict[str, object], ...] = ()


def current_origin() -> dict[str, object]:
    """The commit, whether files differ from it, hashes of lock file and phantom generator, and the device."""
    return asdict(current_commit()) | {
        "environment": files_fingerprint([REQUIREMENTS_LOCK], folder=Path()),
        "generator": generator_fingerprint(),
        "computed_by": describe_device(),
    }


def generator_fingerprint() -> str:
    """Hash of the source files of the phantom generator, without what they import."""
    folder = Path(phantom.__file__).parent
    return files_fingerprint(folder.glob("*.py"), folder=folder)


def pretrained_folder(storage: ProjectStorage) -> Path:
    """The folder with the results of trainings that have ended, which are not trained again."""
    return storage.folder / "pretrained"


def train_phases(plan: Pretraining, storage: ProjectStorage) -> TrainedPhases:
    """Train the phases that have not been trained yet.

    Phases that the model `builtin.SYNTHETIC` in the package was trained with are not repeated: the next phase
    starts from its weights.
    """
    done = published_phases(plan)
    for number, phase in enumerate(plan.phases, 1):
        if number > len(done.origins):
            done = _train(plan, number, phase, storage, before=done)
    return done


def published_phases(plan: Pretraining) -> TrainedPhases:
    """The phases of the model in the package, if the plan begins with them on the same synthetic cases."""
    folder = builtin.folder_of(builtin.SYNTHETIC)
    record = with_current_names(read_json(folder / builtin.RECORD), FIELDS)
    settings = with_current_names(record["settings"], FIELDS)
    phases = tuple(Phase.model_validate(phase) for phase in settings["phases"])
    if (Phantom.model_validate(settings["stream"]), phases) != (plan.stream, plan.phases[: len(phases)]):
        return TrainedPhases()
    history = pd.read_csv(folder / builtin.HISTORY).rename(columns=COLUMNS)
    return TrainedPhases(folder / MODEL_FILE, history, tuple(record["trained"]))


def render_validation(plan: Pretraining, *, spacing_mm: int | None = None) -> list[CachedSyntheticCase]:
    """The validation cases, rendered at `spacing_mm`, by default at the resolution of the network."""
    cases = [case for part in plan.validation for case in stream(part)]
    render = partial(CachedSyntheticCase.render, spacing_mm=spacing_mm or plan.network.spacing_mm)
    return Cluster().map(render, cases, title="render validation cases")


def stream(part: Phantom) -> PhantomStream:
    """The synthetic cases of a section of the plan."""
    return PhantomStream(part.cases, part.seed, part.preset)


def _train(
    plan: Pretraining, number: int, phase: Phase, storage: ProjectStorage, *, before: TrainedPhases
) -> TrainedPhases:
    key = phase_key(plan, phase, before.weights)
    weights = pretrained_folder(storage) / f"{key}.keras"
    history, origin = weights.with_suffix(".csv"), weights.with_suffix(".json")
    if not weights.exists():
        from glioseg.models.training.cross_validation import TrainingSplit, fit_splits

        (cases, network, train), params = plan.of_phase(phase), plan.model_dump(mode="json")
        validation = render_validation(plan)
        count = {"train": cases.cases, "validation": len(validation)}
        # An interrupted phase continues only with the generator with which it began.
        state = storage.state(f"{key}-{generator_fingerprint()[:12]}")
        name = f"built-in, phase {number}"
        with training_run(connect(storage), state=state, name=name, params=params, cases=[count]) as log:
            trained = fit_splits(
                [TrainingSplit(stream(cases), validation, before.weights)],
                network=network,
                train=train,
                state=state,
                epoch_callback=partial(log.fold, folds=0),
            )
            weights.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(history, trained.history.to_csv(index=False).encode())
            write_atomic(origin, json.dumps(current_origin()).encode())
            draw_learning_curves(trained.history, REPORTS / "curves.png")
            trained.networks[0].save(aside := weights.with_name(f"part_{weights.name}"))
            aside.rename(weights)
            log.finish({"best_val_dice": trained.validation_dice[0]}, REPORTS)
    epochs = pd.read_csv(history).assign(phase=number)
    return TrainedPhases(weights, pd.concat([before.history, epochs]), (*before.origins, read_json(origin)))


def phase_key(plan: Pretraining, phase: Phase, init: Path | None) -> str:
    """The key of a phase: a hash of its settings, the seeds of its cases and its initial weights.

    It does not depend on code, so that a finished phase is found again after any change of it.
    """
    cases, network, train = plan.of_phase(phase)
    settings = [part.model_dump_json() for part in (network, train, cases)]
    start = files_fingerprint([init], folder=init.parent) if init else None
    return sha256_bytes(json.dumps([*settings, start]).encode())
