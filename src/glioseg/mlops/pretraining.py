"""Pretraining: trains the built-in model in phases, and writes it into the package with its lineage.

The phases of a model may come from several versions of the phantom generator: weights that took hours stay
valid when the generator changes, and a new phase starts from them. The record of the model names the commit
and the generator of each phase, and `train_phases` reports phases of other generators.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from shutil import copy, copytree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from glioseg.compute import Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json, replace_folder_atomic, write_atomic
from glioseg.core.fingerprint import files_fingerprint, sha256_bytes
from glioseg.core.old_names import FIELDS, with_current_names
from glioseg.data import phantom
from glioseg.data.cohort.cases import Case, read_images
from glioseg.data.cohort.ingest import detect_case_scheme, resolve_schemes
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.store.cropped_cases import OnTheFlyCase
from glioseg.data.store.cropping import place_crop
from glioseg.data.store.phantom_stream import CachedSyntheticCase, PhantomStream
from glioseg.mlops.tracking.git_dvc import current_commit
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.training_run import draw_learning_curves, training_run
from glioseg.models import builtin
from glioseg.models.networks.keras_file import (
    MODEL_FILE,
    compress_keras_file,
    load_networks,
    round_to_float16,
    save_networks,
)
from glioseg.models.training.distributed import describe_device
from glioseg.params.contract import CONTRACT
from glioseg.params.pretraining import Phase, Pretraining
from glioseg.params.sections import Phantom

if TYPE_CHECKING:
    from glioseg.models.inference.model_settings import Settings

REQUIREMENTS_LOCK, REPORTS = Path("requirements.lock"), Path("reports/pretrain")
WRITTEN_BY_HAND = (builtin.CARD, "LICENSE")


@dataclass(frozen=True)
class TrainedPhase:
    """The weights of a phase, with files for its history and for the state of the code that trained it."""

    weights: Path

    @property
    def history(self) -> Path:
        """The file with one row per epoch."""
        return self.weights.with_suffix(".csv")

    @property
    def origin(self) -> Path:
        """The file with the result of `current_origin`."""
        return self.weights.with_suffix(".json")


def current_origin() -> dict[str, object]:
    """The current commit, whether files differ from it, the hash of the lock file, and the device."""
    return asdict(current_commit()) | {
        "environment": files_fingerprint([REQUIREMENTS_LOCK], folder=Path()),
        "computed_by": describe_device(),
    }


def generator_fingerprint() -> str:
    """Hash of the source files of the phantom generator.

    `code_fingerprint` would add all that they import: a new setting in `glioseg.params` then counts as
    another generator. The environment's hash covers the libraries.
    """
    folder = Path(phantom.__file__).parent
    return files_fingerprint(folder.glob("*.py"), folder=folder)


def train_phases(plan: Pretraining, storage: ProjectStorage) -> list[TrainedPhase]:
    """Train the phases that have not been trained yet; each starts from the weights of the previous phase.

    A trained phase stays valid when the generator changes; one line names it, and the file to delete so that
    it and the phases after it are trained again. An interrupted phase continues only with the generator with
    which it began, so that each phase has one.
    """
    done: list[TrainedPhase] = []
    for phase in plan.phases:
        done.append(_train(plan, phase, storage, init=done[-1].weights if done else None))
    return done


def render_validation(plan: Pretraining, *, spacing_mm: int | None = None) -> list[CachedSyntheticCase]:
    """The validation cases, rendered at `spacing_mm`, by default at the resolution of the network."""
    cases = [case for part in plan.validation for case in stream(part)]
    render = partial(CachedSyntheticCase.render, spacing_mm=spacing_mm or plan.network.spacing_mm)
    return Cluster().map(render, cases, title="render validation cases")


def stream(part: Phantom) -> PhantomStream:
    """The synthetic cases of a section of the plan."""
    return PhantomStream(part.cases, part.seed, part.preset)


def _train(plan: Pretraining, phase: Phase, storage: ProjectStorage, *, init: Path | None) -> TrainedPhase:
    key, generator = phase_key(plan, phase, init), generator_fingerprint()
    number = plan.phases.index(phase) + 1
    done = TrainedPhase(storage.folder / "pretrained" / f"{key}.keras")
    if done.weights.exists():
        _report_generator(done, number, generator)
        return done
    from glioseg.models.training.cross_validation import TrainingSplit, fit_ensemble

    (cases, network, train), params = plan.of_phase(phase), plan.model_dump(mode="json")
    validation = render_validation(plan)
    count = {"train": cases.cases, "validation": len(validation)}
    state, name = storage.state(f"{key}-{generator[:12]}"), f"built-in, phase {number}"
    _report_interrupted(state, key, number)
    with training_run(connect(storage), state=state, name=name, params=params, cases=[count]) as log:
        members = fit_ensemble(
            [TrainingSplit(stream(cases), validation)],
            network=network,
            train=train,
            state=state,
            epoch_callback=partial(log.fold, folds=1),
            init=init,
        )
        done.weights.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(done.history, members.history.to_csv(index=False).encode())
        write_atomic(done.origin, json.dumps(current_origin() | {"generator": generator}).encode())
        draw_learning_curves(members.history, REPORTS / "curves.png")
        members.networks[0].save(aside := done.weights.with_name(f"part_{done.weights.name}"))
        aside.rename(done.weights)
        log.finish({"best_val_dice": members.validation_dice}, REPORTS)
    return done


def _report_generator(done: TrainedPhase, number: int, generator: str) -> None:
    """Print a line about a trained phase whose generator differs from the current one, or is not recorded."""
    origin = read_json(done.origin)
    if origin.get("generator") != generator:
        print(
            f"pretrain: phase {number} was trained at commit {origin['sha'][:7]}, with another version of the"
            f" phantom generator; to train it and the phases after it again, delete {done.weights}",
            flush=True,
        )


def _report_interrupted(state: Path, key: str, number: int) -> None:
    """Print a line if a phase begins that was interrupted with another version of the generator."""
    others = sorted(state.parent.glob(f"{key}*"))
    if others and not state.exists():
        print(
            f"pretrain: phase {number} begins again, because the phantom generator changed since it was"
            f" interrupted; its former state stays in {others[-1]}",
            flush=True,
        )


def phase_key(plan: Pretraining, phase: Phase, init: Path | None) -> str:
    """The key of a phase: a hash of its settings, the seeds of its cases and its initial weights.

    It does not depend on code, so that a finished phase is found again after any change of it.
    """
    cases, network, train = plan.of_phase(phase)
    settings = [part.model_dump_json() for part in (network, train, cases)]
    start = files_fingerprint([init], folder=init.parent) if init else None
    return sha256_bytes(json.dumps([*settings, start]).encode())


def publish(plan: Pretraining, phases: Sequence[TrainedPhase]) -> None:
    """Calibrate the network of the last phase on the validation cases; write the model into the package."""
    from glioseg.models.inference.model_settings import Settings
    from glioseg.models.selection.calibrate import calibrate_model

    cases, network, train = plan.of_phase(plan.phases[-1])
    with replace_folder_atomic(builtin.FOLDER) as aside:
        copy(phases[-1].weights, aside / MODEL_FILE)
        (model,) = load_networks(aside)
        round_to_float16(model)
        save_networks(aside, [model])
        compress_keras_file(aside / MODEL_FILE)
        validation = render_validation(plan, spacing_mm=1)  # the resolution of predictions
        untuned = Settings.untuned(network, train, plan.crop, plan.inference)
        calibrated = calibrate_model(
            [model],
            validation,
            untuned,
            inference=plan.inference,
            training_cases=stream(cases),
            calibrated_on="synthetic",
        )
        calibrated.save(aside)
        for name in WRITTEN_BY_HAND:
            copy(builtin.FOLDER / name, aside)
        copy(CONTRACT, aside)
        epochs = [pd.read_csv(phase.history).assign(phase=n) for n, phase in enumerate(phases, 1)]
        pd.concat(epochs).to_csv(aside / builtin.HISTORY, index=False)
        (aside / builtin.RECORD).write_text(json.dumps(_record(plan, phases, epochs[-1]), indent=1) + "\n")
        builtin.write_checksums(aside)


def calibrate_on_real_cases(folders: Sequence[Path]) -> list[str]:
    """Fit the confidence of the built-in model on labelled real cases, and write it into the package.

    The weights and all other settings stay. pretraining.json records the names of the cases, and how good
    the confidence is for a case that was left out.

    Args:
        folders: folders with cases, in any layout; cases without a segmentation are ignored.

    Returns:
        Lines of text: what was measured.

    Raises:
        GliosegError: fewer than five labelled cases were found.
    """
    from glioseg.models.inference.model_settings import Settings
    from glioseg.models.selection.real_cases import (
        MIN_CASES,
        add_unmirrored,
        calibrate_confidence,
        leave_one_out,
        score_real_cases,
    )

    found = [case for folder in folders for case in find_cases(folder) if case.labelled]
    if len(found) <= MIN_CASES:
        raise GliosegError(f"expected at least {MIN_CASES + 1} labelled cases, got {len(found)}")
    cases = resolve_schemes(found, [detect_case_scheme(case) for case in found])
    settings = Settings.load(builtin.FOLDER)
    with TemporaryDirectory() as folder:
        placed = [_place(case, Path(folder), settings.margin_vox) for case in cases]
        models = load_networks(builtin.FOLDER)
        mirrored, unmirrored = (
            score_real_cases(models, placed, replace(settings, mirror=mirror)) for mirror in (True, False)
        )
    scores = {
        "with mirroring": leave_one_out(mirrored, settings),
        "without mirroring": leave_one_out(unmirrored, settings),
    }
    calibrated = add_unmirrored(
        calibrate_confidence(mirrored, settings), calibrate_confidence(unmirrored, settings)
    )
    _write_confidence(calibrated, {"cases": [case.case for case in cases], "left_out": scores})
    return [
        f"{region} {when}: {json.dumps(measured)}"
        for when, regions in scores.items()
        for region, measured in regions.items()
    ]


def _write_confidence(calibrated: "Settings", measured: Mapping[str, object]) -> None:
    """Write new settings of the built-in model into the package, and how they were calibrated."""
    record = with_current_names(read_json(builtin.FOLDER / builtin.RECORD), FIELDS)
    record["calibrated_on_real_cases"] = {**current_origin(), **measured}
    with replace_folder_atomic(builtin.FOLDER) as aside:
        copytree(builtin.FOLDER, aside, dirs_exist_ok=True)
        calibrated.save(aside)
        (aside / builtin.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        builtin.write_checksums(aside)


def _place(case: Case, folder: Path, margin_vox: int) -> OnTheFlyCase:
    """The case with the placement of its crop in a folder."""
    (own := folder / case.case).mkdir()
    place_crop(read_images(case), margin_vox=margin_vox).save(own)
    return OnTheFlyCase(case, own)


def _record(plan: Pretraining, phases: Sequence[TrainedPhase], last: pd.DataFrame) -> dict[str, object]:
    """The lineage of the model."""
    return {
        "settings": plan.model_dump(mode="json"),
        "steps": sum(phase.epochs * phase.steps_per_epoch for phase in plan.phases),
        "validation_dice": float(last["val_dice"].max()),
        "trained": [read_json(phase.origin) for phase in phases],
        "calibrated": current_origin(),
    }
