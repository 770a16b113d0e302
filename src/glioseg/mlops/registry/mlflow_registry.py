"""MLflow's registry: a model becomes a version of it once, and champion if the gate lets it pass."""

from collections.abc import Callable

import mlflow
from mlflow import MlflowClient

from glioseg.mlops.registry.promotion import AGAINST, VERDICT, Offer, decide
from glioseg.mlops.registry.rivals import Score
from glioseg.mlops.registry.versions import CHAMPION, Versions
from glioseg.mlops.tracking.candidate import CONTENT, FILES, Evaluation, Source, already, marks
from glioseg.mlops.tracking.fingerprints import tags
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.params.promotion import Register

Keep = Callable[[MlflowClient, str, str], None]
"""Keeps with a version, of a name and number, how it came to be; it may be asked again."""


def register(
    client: MlflowClient,
    *,
    params: Register,
    source: Source,
    run_id: str,
    evaluation: Evaluation,
    keep: Keep,
    score: Score,
) -> str:
    """Register a model once, and let it become champion if the gate says so.

    Killed at any point and started again, it goes on: the verdict is the last thing written.

    Args:
        client: as from `tracking.connect`.
        params: the registered model's name, and the gate's rules.
        source: what the version is made from.
        run_id: the run that trained it; it may be of another database.
        evaluation: of this model on the test cases.
        keep: asked before the verdict.
        score: asked where the own table of a version that is compared is of other test cases, or was measured
            by another state of the code.

    Returns:
        One line that says what was done; below it the gate's table, where there is one.
    """
    versions = Versions(client, params.name)
    version = _version_of(versions, source.content) or _create(versions, source, run_id)
    wanted, known = marks(source, evaluation, params), versions.tags(version)
    if VERDICT in known and wanted.items() <= known.items():
        return already(version, versions.bearer(CHAMPION))
    if VERDICT in known:  # on other test cases, by other code or by other rules
        versions.untag(version, VERDICT, AGAINST)
    client.log_model_artifact(versions.model_id(version), str(evaluation.per_case))
    keep(client, params.name, version)
    versions.tag(version, wanted)
    return decide(Offer(versions, version, params, evaluation, score))


def _version_of(versions: Versions, content: str) -> str | None:
    made_of_it = f"name = '{versions.name}' AND tags.{CONTENT} = '{content}'"
    found = versions.client.search_model_versions(made_of_it)
    return str(max(int(version.version) for version in found)) if found else None


def _create(versions: Versions, source: Source, run_id: str) -> str:
    model_id = log_model(versions.client, source, run_id=run_id)
    marks = tags("register") | {CONTENT: source.content, FILES: source.carried, "trained_run": run_id}
    return str(mlflow.register_model(f"models:/{model_id}", versions.name, tags=marks).version)
