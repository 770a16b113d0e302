"""MLflow's registry: versions of the model that a person can call, and the champion among them."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from glioseg.lab.addresses import Lab
from glioseg.lab.candidate import CONTENT, Evaluation, Source
from glioseg.lab.gate import Verdict, judge
from glioseg.lab.lineage import tags
from glioseg.lab.logged_model import log_model
from glioseg.lab.tracking import connect
from glioseg.nets.inference import MODEL_FILE
from glioseg.params.promotion import Register

CHAMPION = "champion"
PER_CASE = "per_case.csv"
VERDICT = "verdict"
"""The tag that is written last: a version without it was interrupted."""

Score = Callable[[Path], pd.DataFrame]
"""Evaluates a model folder on the present test cases: a table as `gate.judge` takes it."""


class RegistryError(ValueError):
    """A registered model that is not there; the message names it."""


def register(
    client: MlflowClient,
    *,
    params: Register,
    source: Source,
    run_id: str,
    evaluation: Evaluation,
    score: Score,
) -> str:
    """Register a model once, and let it become champion if the gate says so.

    Killed at any point and started again, it goes on: the verdict is the last thing written.

    Args:
        client: as from `tracking.connect`.
        params: the registered model's name, and the gate's margin.
        source: what the version is made from.
        run_id: the run that trained it; it may be of another database.
        evaluation: of this model on the test cases.
        score: asked only where the champion's own table is of other test cases.

    Returns:
        One line that says what was done.
    """
    name = params.name
    version = _version_of(client, name, source.content) or _create(client, name, source, run_id)
    marks = client.get_model_version(name, version).tags
    if VERDICT in marks and evaluation.marks.items() <= marks.items():
        return f"version {version} is this model already"
    _attach(client, name, version, evaluation)
    standing = _standing(client, name)
    if standing in (None, version):
        verdict = Verdict(True, 0.0, "the first champion" if standing is None else "it is the champion")
    else:
        table = _table(client, name, str(standing), evaluation, score)
        verdict = judge(pd.read_csv(evaluation.per_case, dtype={"case": str}), table, margin=params.margin)
    return _decide(client, name, version, standing, verdict)


def _version_of(client: MlflowClient, name: str, content: str) -> str | None:
    found = client.search_model_versions(f"name = '{name}' AND tags.{CONTENT} = '{content}'")
    return str(max(int(version.version) for version in found)) if found else None


def _create(client: MlflowClient, name: str, source: Source, run_id: str) -> str:
    model_id = log_model(client, source, run_id=run_id)
    marks = tags("register") | {CONTENT: source.content, "trained_run": run_id}
    return str(mlflow.register_model(f"models:/{model_id}", name, tags=marks).version)


def _attach(client: MlflowClient, name: str, version: str, evaluation: Evaluation) -> None:
    """Keep the table of test cases with the version, and say which it is."""
    model_id = client.get_model_version(name, version).source.removeprefix("models:/")
    client.log_model_artifact(model_id, str(evaluation.per_case))
    for key, value in evaluation.marks.items():
        client.set_model_version_tag(name, version, key, value)


def _standing(client: MlflowClient, name: str) -> str | None:
    try:
        return str(client.get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException:
        return None


def _table(
    client: MlflowClient, name: str, version: str, evaluation: Evaluation, score: Score
) -> pd.DataFrame:
    """The champion's Dice by case, on the present test cases."""
    champion = client.get_model_version(name, version)
    with TemporaryDirectory() as folder:
        address = f"models:/{name}/{version}"
        files = Path(mlflow.artifacts.download_artifacts(address, dst_path=folder))
        same = champion.tags.get("test_set_sha256") == evaluation.marks["test_set_sha256"]
        if same and (files / PER_CASE).exists():
            return pd.read_csv(files / PER_CASE, dtype={"case": str})
        return score(files / "artifacts")


def _decide(client: MlflowClient, name: str, version: str, standing: str | None, verdict: Verdict) -> str:
    if verdict.promoted:
        client.set_registered_model_alias(name, CHAMPION, version)
        line = f"version {version} is the champion: {verdict.reason}"
    else:
        line = f"version {version} is registered, version {standing} stays champion: {verdict.reason}"
    client.set_model_version_tag(name, version, "mean_dice_difference", f"{verdict.difference:.6f}")
    client.set_model_version_tag(name, version, VERDICT, line)
    return line


def model_folder(model: str) -> Path:
    """Find the folder that holds `model.keras` and `settings.json`.

    Args:
        model: such a folder, or the address of a registered model, e.g. `models:/glioseg@champion`.

    Raises:
        RegistryError: the registry has no such model.
    """
    if not model.startswith("models:/"):
        return Path(model)
    connect(Lab.here())
    try:
        return Path(mlflow.artifacts.download_artifacts(model)) / "artifacts"
    except MlflowException as error:
        raise RegistryError(f"{model}: not in the registry: {error.message}") from None


def weights_file(model: str | None) -> Path | None:
    """Find the network to start training from: a `.keras` file, or the first one of a registered model.

    Raises:
        RegistryError: there is no such file, or no such model in the registry.
    """
    if model is None:
        return None
    file = model_folder(model) / MODEL_FILE if model.startswith("models:/") else Path(model)
    if not file.is_file():
        raise RegistryError(f"train.init_from: expected a .keras file or models:/…, found no {file}")
    return file
