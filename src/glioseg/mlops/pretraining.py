"""Trains the built-in model piece by piece, and puts it into the package with how it came to be."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import copy

import pandas as pd

from glioseg.compute import Cluster
from glioseg.core.files import read_json, replaced_whole, write_whole
from glioseg.core.fingerprint import files_fingerprint
from glioseg.data.store.phantom_stream import HeldCase, Stream
from glioseg.mlops.tracking.fingerprints import commit, sha256
from glioseg.mlops.tracking.learning_curve import draw_curves
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tracking.training_run import training_run
from glioseg.models import builtin
from glioseg.models.networks.half_weights import deflate, round_to_half
from glioseg.models.networks.keras_file import MODEL_FILE, load_networks, save_networks
from glioseg.models.training.multi_gpu import computed_by
from glioseg.params.contract import CONTRACT
from glioseg.params.pretraining import Piece, Pretraining
from glioseg.params.sections import Phantom

LOCK, REPORTS = Path("requirements.lock"), Path("reports/pretrain")
WRITTEN_BY_HAND = (builtin.CARD, "LICENSE")


@dataclass(frozen=True)
class Trained:
    """The weights of a piece; beside them lie its epochs and the state of the code that trained it."""

    weights: Path

    @property
    def history(self) -> Path:
        """A row an epoch."""
        return self.weights.with_suffix(".csv")

    @property
    def origin(self) -> Path:
        """As `origin_now` tells it."""
        return self.weights.with_suffix(".json")


def origin_now() -> dict[str, object]:
    """The commit that runs, whether files differ from it, the hash of its lock, and what computes."""
    return asdict(commit()) | {
        "environment": files_fingerprint([LOCK], folder=Path()),
        "computed_by": computed_by(),
    }


def train_pieces(plan: Pretraining, lab: Lab) -> list[Trained]:
    """Train the pieces that are not done yet, each from the weights of the one before."""
    done: list[Trained] = []
    for piece in plan.pieces:
        done.append(_train(plan, piece, lab, init=done[-1].weights if done else None))
    return done


def draw_validation(plan: Pretraining, *, spacing_mm: int | None = None) -> list[HeldCase]:
    """The patients that no piece learns from, drawn at this resolution, or else at the network's."""
    cases = [case for part in plan.validation for case in stream(part)]
    draw = partial(HeldCase.draw, spacing_mm=spacing_mm or plan.network.spacing_mm)
    return Cluster().map(draw, cases, title="draw validation")


def stream(part: Phantom) -> Stream:
    """The patients that a section of the plan stands for."""
    return Stream(part.cases, part.seed, part.preset)


def _train(plan: Pretraining, piece: Piece, lab: Lab, *, init: Path | None) -> Trained:
    key = piece_key(plan, piece, init)
    done = Trained(lab.folder / "pretrained" / f"{key}.keras")
    if done.weights.exists():
        return done
    from glioseg.models.training.cross_validation import Part, fit_members

    (cases, network, train), params = plan.of_piece(piece), plan.model_dump(mode="json")
    held = draw_validation(plan)
    count = {"train": cases.cases, "validation": len(held)}
    state, name = lab.state(key), f"built-in, piece {plan.pieces.index(piece) + 1}"
    with training_run(connect(lab), state=state, name=name, params=params, cases=[count]) as log:
        members = fit_members(
            [Part(stream(cases), held)],
            network=network,
            train=train,
            state=state,
            follow=partial(log.fold, of=1),
            init=init,
        )
        done.weights.parent.mkdir(parents=True, exist_ok=True)
        write_whole(done.history, members.history.to_csv(index=False).encode())
        write_whole(done.origin, json.dumps(origin_now()).encode())
        draw_curves(members.history, REPORTS / "curves.png")
        members.networks[0].save(aside := done.weights.with_name(f"part_{done.weights.name}"))
        aside.rename(done.weights)
        log.finish({"best_val_dice": members.validation_dice}, REPORTS)
    return done


def piece_key(plan: Pretraining, piece: Piece, init: Path | None) -> str:
    """The name of a piece: a hash of its settings, its patients and the weights that it starts from."""
    cases, network, train = plan.of_piece(piece)
    given = [part.model_dump_json() for part in (network, train, cases)]
    start = files_fingerprint([init], folder=init.parent) if init else None
    return sha256(json.dumps([*given, start]).encode())


def publish(plan: Pretraining, pieces: Sequence[Trained]) -> None:
    """Settle the last piece's network on the validation patients, and put the model into the package."""
    from glioseg.models.inference.model_settings import Settings
    from glioseg.models.selection.calibrate import calibrate_model

    cases, network, train = plan.of_piece(plan.pieces[-1])
    with replaced_whole(builtin.FOLDER) as aside:
        copy(pieces[-1].weights, aside / MODEL_FILE)
        (model,) = load_networks(aside)
        round_to_half(model)
        save_networks(aside, [model])
        deflate(aside / MODEL_FILE)
        held = draw_validation(plan, spacing_mm=1)  # where answers are given
        untuned = Settings.untuned(network, train, plan.crop, plan.inference)
        calibrate_model([model], held, untuned, inference=plan.inference, learned=stream(cases)).save(aside)
        for name in WRITTEN_BY_HAND:
            copy(builtin.FOLDER / name, aside)
        copy(CONTRACT, aside)
        epochs = [pd.read_csv(piece.history).assign(piece=n) for n, piece in enumerate(pieces, 1)]
        pd.concat(epochs).to_csv(aside / builtin.HISTORY, index=False)
        (aside / builtin.RECORD).write_text(json.dumps(_record(plan, pieces, epochs[-1]), indent=1) + "\n")
        builtin.write_sums(aside)


def _record(plan: Pretraining, pieces: Sequence[Trained], last: pd.DataFrame) -> dict[str, object]:
    """What the model's lineage tells."""
    return {
        "settings": plan.model_dump(mode="json"),
        "steps": sum(piece.epochs * piece.steps_per_epoch for piece in plan.pieces),
        "validation_dice": float(last["val_dice"].max()),
        "trained": [read_json(piece.origin) for piece in pieces],
        "calibrated": origin_now(),
    }
