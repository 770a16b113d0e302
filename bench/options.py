"""What a run of the benchmarks may be told."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from glioseg.params import load_params

HERE = Path(__file__).parent
COHORT = ("phantom", "crop", "split")
TRAINING = ("network", "train", "inference")
"""Sections of params.yaml that make the cohort, and that train a network on it."""


@dataclass(frozen=True)
class Options:
    """Choices of one run.

    `smoke`: tiny sizes, to see that everything works; the numbers mean nothing. `avx2`: as on a processor
    without AVX-512, see `machine.limit_to_avx2`. `minutes`: training
    time of each side of `quality`. `train_minutes`: of the 1 mm network of `infer_case`, unless `model`
    names the folder of a trained one. `real`: a folder of real scans to segment as well.

    Of `few_shot`: `few_shot_minutes`, training time of each side; `init`, the model folder to start from, the
    built-in model if None; `trainings`, a pattern of the names of the trainings to run, and `at_most` how
    many of them, all if None.
    """

    smoke: bool
    avx2: bool
    minutes: float
    train_minutes: float
    model: Path | None
    real: Path | None
    few_shot_minutes: float
    init: Path | None
    trainings: str
    at_most: int | None

    @property
    def work(self) -> Path:
        """Where everything lies that a run makes on its way."""
        return HERE / "work" / ("smoke" if self.smoke else "full")

    @property
    def results(self) -> Path:
        """Where the results go."""
        return self.work / "results" if self.smoke else HERE / "results"

    def result(self, benchmark: str) -> Path:
        """Where a benchmark's result goes."""
        return self.results / f"{benchmark}{'_avx2' if self.avx2 else ''}.json"

    def scores(self, benchmark: str) -> Path:
        """Where a benchmark that goes on where it stopped keeps what it has measured."""
        return self.result(benchmark).with_suffix(".csv")

    @property
    def page(self) -> Path:
        """The table of all results."""
        return self.work / "RESULTS.md" if self.smoke else HERE / "RESULTS.md"

    def log(self, name: str) -> Path:
        """Where a worker's output goes."""
        return self.work / "logs" / f"{name}.log"

    def settings(self, used: tuple[str, ...]) -> dict[str, object]:
        """What a result depends on, as JSON has it: these choices, and params.yaml."""
        chosen = {name: getattr(self, name) for name in ("smoke", *used)}
        named = {name: value.name if isinstance(value, Path) else value for name, value in chosen.items()}
        return named | {"params": digest(*COHORT, *TRAINING)}


def digest(*sections: str) -> str:
    """A short name for what some sections of params.yaml say."""
    record = load_params().model_dump(mode="json", include=set(sections))
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]
