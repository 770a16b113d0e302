"""Train the built-in model further on phantoms: `python -m bench.train_on_phantoms OUT.keras [options]`.

A short training to compare generators: run it with the same options from a checkout of each, with another
OUT, then `python -m bench.score_real OUT.keras CASES…`. Settings are those of the last phase of
pipelines/pretrain.yaml. The best epoch on phantoms of the generator itself is saved; real cases do not choose
it. A repeated call after an interruption continues after the last epoch.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from glioseg.core.files import remove_folder_atomic, write_atomic
from glioseg.data.store.phantom_stream import CachedSyntheticCase, PhantomStream
from glioseg.models import builtin
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.models.training.fit import fit
from glioseg.params.pretraining import Phase, load_pretraining

PLAN = Path("pipelines/pretrain.yaml")
VALIDATION = PhantomStream(8, 77, "domain_randomised")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.train_on_phantoms", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--init", default="builtin", help="builtin, a .keras file, or scratch")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="of one patch, in an epoch")
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--filters", type=int, default=24)
    parser.add_argument("--seed", type=int, default=6, help="the phases of the built-in model have 1 to 5")
    train(parser.parse_args())


def train(options: argparse.Namespace) -> None:
    """Train with these options; save the network, and beside it a `.jsonl` file with a line per epoch."""
    plan = load_pretraining(PLAN)
    phantoms, network, settings = plan.of_phase(phase_of(options, plan.phases[-1]))
    starts = {"builtin": builtin.FOLDER / MODEL_FILE, "scratch": None}
    log, state = options.out.with_suffix(".jsonl"), options.out.with_suffix(".state")
    fitted = fit(
        network=network,
        train=settings,
        cases=PhantomStream(phantoms.cases, phantoms.seed, phantoms.preset),
        validation=[CachedSyntheticCase.render(case, network.spacing_mm) for case in VALIDATION],
        state=state,
        on_epoch=lambda epoch, logs: _append(log, json_lines([logs], epoch)),
        init=starts.get(options.init, Path(options.init)),
    )
    save(fitted.model, options.out)
    write_atomic(log, json_lines(fitted.history).encode())  # without epochs that were repeated
    remove_folder_atomic(state)


def phase_of(options: argparse.Namespace, last: Phase) -> Phase:
    """The phase with these options, of one patch a step; all else is that of the last phase of the plan."""
    return last.model_copy(
        update={
            "seed": options.seed,
            "base_filters": options.filters,
            "epochs": options.epochs,
            "steps_per_epoch": options.steps,
            "learning_rate": options.learning_rate,
            "batch_size": 1,
            "patches_per_case": 1,
        }
    )


def json_lines(history: Sequence[Mapping[str, float]], first: int = 0) -> str:
    """A line of JSON for each epoch, numbered from `first`.

    >>> print(json_lines([{"loss": 0.5}, {"loss": 0.4}], first=2), end="")
    {"epoch": 2, "loss": 0.5}
    {"epoch": 3, "loss": 0.4}
    """
    return "".join(json.dumps({"epoch": n, **logs}) + "\n" for n, logs in enumerate(history, first))


def _append(log: Path, lines: str) -> None:
    with log.open("a") as file:
        file.write(lines)


def save(model: keras.Model, out: Path) -> None:
    """Save the network in one step."""
    model.save(aside := out.with_name(f"part_{out.name}"))
    write_atomic(out, aside.read_bytes())
    aside.unlink()


if __name__ == "__main__":
    main()
