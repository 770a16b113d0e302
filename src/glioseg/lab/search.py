"""The tuning study: the one module that knows Optuna. It knows neither networks nor MLflow."""

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from glioseg.lab.addresses import Lab, alone
from glioseg.lab.lineage import sha256
from glioseg.params.study import Choices, Range, Tune

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Value = float | int | str
Values = Mapping[str, Value]
Report = Callable[[int, Mapping[str, float]], None]
Objective = Callable[[Values, Report], float]
Study = optuna.Study

WATCHED = "val_dice"
"""The number of each epoch by which a trial is pruned, and whose best is its result."""

HEARTBEAT_S, GRACE_S = 60, 180
MAX_RETRIES = 3  # of one trial whose process was killed: it may be what kills it
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class SearchError(ValueError):
    """A study that cannot give a result."""


class Observer(Protocol):
    """What wants to know how a study goes."""

    def started(self, number: int, values: Values) -> None:
        """A trial begins."""

    def epoch(self, number: int, epoch: int, logs: Mapping[str, float]) -> None:
        """A trial has trained for one more epoch."""

    def ended(self, number: int, outcome: str, value: float | None) -> None:
        """A trial is `complete`, `pruned`, `failed` or `interrupted`; value is the best it reached."""


def study_name(*, data_version: str, space: object, fixed: object) -> str:
    """A name that is the same only for the same data, space and settings.

    A changed cohort so starts a new study, and an unchanged one goes on with its own.

    Args:
        data_version: hash of the cohort.
        space: what trials may change, as JSON-like values.
        fixed: everything else that a trial's result depends on, as JSON-like values.
    """
    text = json.dumps([data_version, space, fixed], sort_keys=True, default=str)
    return f"study-{sha256(text.encode())[:10]}"


def search(
    *, lab: Lab, name: str, tune: Tune, first: Values, objective: Objective, observer: Observer
) -> optuna.Study:
    """Run the study until it has `tune.trials` finished trials, going on where it stopped.

    Finished means complete or pruned. A trial whose process died is run again with its own values.
    The study runs in one process at a time on a machine: a second one waits, so that a trial that
    still says RUNNING at the start is a dead one, however short ago it died. Heartbeats do the same
    after `GRACE_S` for processes on other machines.

    Args:
        lab: whose database keeps the study.
        name: as from `study_name`.
        tune: how many trials, the space, the seed.
        first: the default set-up, tried first; values outside the space are clipped into it.
        objective: trains with some values and returns the best `WATCHED`; it calls the reporter
            after each epoch, counted from 0, and lets through what that raises.
        observer: is told about every trial.

    Raises:
        SearchError: no trial was completed.
    """
    lab.folder.mkdir(parents=True, exist_ok=True)
    with alone(lab.lock(name), waiting=f"tune: waiting for another process that runs {name}"):
        with alone(lab.lock("optuna.db")):  # two that create the database at once would clash
            study = _open(lab, name, tune)
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
            observer.ended(trial.number, "interrupted", None)
            _retry(study, study.trials[trial.number])
        _enqueue_first(study, {key: clip(first[key], domain) for key, domain in tune.space.items()})
        _run_remaining(study, tune, objective, observer)
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise SearchError(f"{name}: expected a completed trial, got {tune.trials} pruned ones")
    return study


def _open(lab: Lab, name: str, tune: Tune) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what a trial raises is told once, by the stage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            lab.study_url,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=_retry,
        )
    # A third of the epochs and of the trials must pass before a trial can be called a poor one.
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=max(1, min(5, tune.trials // 3)), n_warmup_steps=tune.epochs // 3
    )
    return optuna.create_study(
        study_name=name, storage=storage, direction="maximize", load_if_exists=True, pruner=pruner
    )


def _retry(study: optuna.Study, trial: FrozenTrial) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES)(study, trial)


def _enqueue_first(study: optuna.Study, first: Values) -> None:
    """Enqueue the default set-up unless a trial has had it, or has it still to come."""
    alive = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    if not any(first in (trial.params, trial.system_attrs.get("fixed_params")) for trial in alive):
        study.enqueue_trial(dict(first))


def _run_remaining(study: optuna.Study, tune: Tune, objective: Objective, observer: Observer) -> None:
    start, before = time.monotonic(), len(study.get_trials(states=FINISHED))
    while (done := len(study.get_trials(states=FINISHED))) < tune.trials:
        # Seeded anew for each trial, so that an interrupted study draws what an uninterrupted one does.
        study.sampler = optuna.samplers.TPESampler(
            seed=tune.seed + done, n_startup_trials=max(1, min(10, tune.trials // 2))
        )
        study.optimize(_watched(objective, tune.space, study, observer), n_trials=1)
        _print_progress(study, tune.trials, (time.monotonic() - start) / (done + 1 - before))


def _watched(
    objective: Objective, space: Mapping[str, Range | Choices], study: optuna.Study, observer: Observer
) -> Callable[[Trial], float]:
    """Wrap the objective for Optuna: draw values, prune, and tell the observer all of it."""

    def run(trial: Trial) -> float:
        values = {key: _draw(trial, key, domain) for key, domain in space.items()}
        observer.started(trial.number, values)
        try:
            value = objective(values, lambda epoch, logs: _report(trial, epoch, logs, observer))
            _prune_if(not math.isfinite(value), "the result is not a number")
        except optuna.TrialPruned:
            seen = study.trials[trial.number].intermediate_values.values()
            observer.ended(trial.number, "pruned", max(filter(math.isfinite, seen), default=None))
            raise
        except KeyboardInterrupt:
            observer.ended(trial.number, "interrupted", None)
            _retry(study, study.trials[trial.number])
            raise
        except BaseException:
            observer.ended(trial.number, "failed", None)
            raise
        observer.ended(trial.number, "complete", value)
        return value

    return run


def _report(trial: Trial, epoch: int, logs: Mapping[str, float], observer: Observer) -> None:
    observer.epoch(trial.number, epoch, logs)
    _prune_if(not math.isfinite(logs[WATCHED]), "it diverged")
    trial.report(logs[WATCHED], epoch)
    _prune_if(trial.should_prune(), "others were better by then")


def _prune_if(poor: bool, why: str) -> None:
    if poor:
        raise optuna.TrialPruned(why)


def _draw(trial: Trial, key: str, domain: Range | Choices) -> Value:
    """Take a value from a part of the space: whole numbers where both ends are."""
    drawn: Value
    if isinstance(domain, Choices):
        drawn = trial.suggest_categorical(key, domain.choices)
    elif isinstance(domain.low, int) and isinstance(domain.high, int):
        drawn = trial.suggest_int(key, domain.low, domain.high, log=domain.log)
    else:
        drawn = trial.suggest_float(key, domain.low, domain.high, log=domain.log)
    return drawn


def clip(value: Value, domain: Range | Choices) -> Value:
    """Bring a value into a part of the space: the nearest end of a range, or the first choice.

    >>> clip(0.5, Range(low=0.0, high=0.3)), clip(16, Choices(choices=(8, 12)))
    (0.3, 8)
    """
    if isinstance(domain, Choices):
        return value if value in domain.choices else domain.choices[0]
    if isinstance(value, str):
        raise SearchError(f"space: expected a number in {domain.low} to {domain.high}, got {value!r}")
    return min(max(value, domain.low), domain.high)


def _print_progress(study: optuna.Study, trials: int, seconds_per_trial: float) -> None:
    last = study.get_trials(states=FINISHED)[-1]
    done = len(study.get_trials(states=FINISHED))
    best = max((t.value for t in study.get_trials(states=(TrialState.COMPLETE,))), default=math.nan)
    fate = f"Dice {last.value:.3f}" if last.state == TrialState.COMPLETE else "pruned"
    left_s = seconds_per_trial * (trials - done)
    print(
        f"tune: {done}/{trials} trials, the last {fate}, best Dice {best:.3f}, about {left_s:.0f} s left",
        flush=True,
    )


def write_study(study: optuna.Study, folder: Path, *, title: str) -> None:
    """Write best_params.json, trials.csv and study.html: Optuna's own plots in one offline page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best_params.json").write_text(json.dumps(study.best_params, indent=2) + "\n")
    study.trials_dataframe().to_csv(folder / "trials.csv", index=False)
    (folder / "study.html").write_text(study_page(study, title=title))


def study_page(study: optuna.Study, *, title: str) -> str:
    """Optuna's plots as one HTML page that needs no network: plotly's script is in it once."""
    figures = study_figures(study)
    parts = [figure.to_html(full_html=False, include_plotlyjs=(i == 0)) for i, figure in enumerate(figures)]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    return f"{head}<body><h1>{title}</h1>{''.join(parts)}</body></html>"


def study_figures(study: optuna.Study) -> list["Figure"]:
    """Optuna's plots of a study, as plotly's figures."""
    from optuna import visualization as plots  # plotly and scikit-learn: not needed to search

    figures = [
        plots.plot_optimization_history(study),
        plots.plot_intermediate_values(study),
        plots.plot_parallel_coordinate(study),
    ]
    # It takes two completed trials that differ, and Optuna warns where they are few.
    with suppress(ValueError, RuntimeError), warnings.catch_warnings(action="ignore"):
        figures.insert(1, plots.plot_param_importances(study))
    return figures


def all_studies(lab: Lab) -> list[optuna.Study]:
    """Every study of a lab, the newest first."""
    if not (lab.folder / "optuna.db").exists():
        return []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = optuna.get_all_study_names(lab.study_url)
    return [optuna.load_study(study_name=name, storage=lab.study_url) for name in reversed(names)]
