"""Train the built-in model, piece by piece, and put it into the package: `make pretrain`, hours."""

import json
from functools import partial
from pathlib import Path
from shutil import copy

import pandas as pd

from _stage import run
from glioseg import builtin
from glioseg.data.phantom.stream import HeldCase, Stream
from glioseg.data.terms import CONTRACT
from glioseg.files import replaced_whole, write_whole
from glioseg.lab.addresses import Lab
from glioseg.lab.curves import draw_curves
from glioseg.lab.lineage import commit, sha256, sha256_files
from glioseg.lab.tracking import connect
from glioseg.lab.training_run import training_run
from glioseg.params.pretraining import Piece, Pretraining, load_pretraining
from glioseg.params.sections import Phantom

SETTINGS, LOCK = Path("pipelines/pretrain.yaml"), Path("requirements.lock")
REPORTS = Path("reports/pretrain")
RECORD, HISTORY = "pretraining.json", "history.csv"
WORDS = ("card.md", "LICENSE")


def main() -> None:
    plan = load_pretraining(SETTINGS)
    held = [HeldCase.draw(case, plan.network.spacing_mm) for part in plan.validation for case in stream(part)]
    weights: Path | None = None
    for number, piece in enumerate(plan.pieces):
        weights = train_piece(plan, piece, number, held, init=weights)
    assert weights is not None
    publish(plan, weights, held, stream(plan.of_piece(plan.pieces[-1])[0]))


def stream(part: Phantom) -> Stream:
    return Stream(part.cases, part.seed, part.preset)


def train_piece(
    plan: Pretraining, piece: Piece, number: int, held: list[HeldCase], *, init: Path | None
) -> Path:
    """The weights of a piece, trained now unless they are there; its history lies beside them."""
    lab, (cases, train) = Lab.here(), plan.of_piece(piece)
    given = [plan.network.model_dump_json(), train.model_dump_json(), cases.model_dump_json()]
    key = sha256(json.dumps([*given, sha256_files([init]) if init else None]).encode())
    done = lab.folder / "pretrained" / f"{key}.keras"
    if done.exists():
        return done
    from glioseg.nets.folds import Part, fit_members

    params, count = plan.model_dump(mode="json"), {"train": cases.cases, "validation": len(held)}
    state, name = lab.state(key), f"built-in, piece {number + 1}"
    with training_run(connect(lab), state=state, name=name, params=params, cases=[count]) as log:
        members = fit_members(
            [Part(stream(cases), held)],
            network=plan.network,
            train=train,
            state=state,
            follow=partial(log.fold, of=1),
            init=init,
        )
        done.parent.mkdir(parents=True, exist_ok=True)
        write_whole(done.with_suffix(".csv"), members.history.to_csv(index=False).encode())
        draw_curves(members.history, REPORTS / "curves.png")
        members.networks[0].save(aside := done.with_name(f"part_{done.name}"))
        aside.rename(done)
        log.finish({"best_val_dice": members.validation_dice}, REPORTS)
    return done


def publish(plan: Pretraining, weights: Path, held: list[HeldCase], learned: Stream) -> None:
    """Settle the network on the validation patients, and put the model folder into the package."""
    from glioseg.nets.inference import load_networks
    from glioseg.nets.settings import Settings
    from glioseg.nets.settling import settle

    with replaced_whole(builtin.FOLDER) as aside:
        copy(weights, aside / "model.keras")
        networks = load_networks(aside)
        untuned = Settings.untuned(plan.network, plan.train, plan.crop, plan.inference)
        settle([(networks[0], held)], untuned, inference=plan.inference, learned=learned).save(aside)
        for name in WORDS:
            copy(builtin.FOLDER / name, aside)
        copy(CONTRACT, aside)
        copy(weights.with_suffix(".csv"), aside / HISTORY)
        (aside / RECORD).write_text(json.dumps(record(plan, weights), indent=1) + "\n")
        builtin.write_sums(aside)
    print(f"pretrain: the built-in model is in {builtin.FOLDER}")


def record(plan: Pretraining, weights: Path) -> dict[str, object]:
    """How the model came to be, as its lineage tells it."""
    code, history = commit(), pd.read_csv(weights.with_suffix(".csv"))
    return {
        "settings": plan.model_dump(mode="json"),
        "steps": sum(piece.epochs for piece in plan.pieces) * (plan.train.steps_per_epoch or 0),
        "validation_dice": float(history["val_dice"].max()),
        "commit": code.sha,
        "changed": code.dirty,
        "environment": sha256(LOCK.read_bytes()),
    }


if __name__ == "__main__":
    run(main)
