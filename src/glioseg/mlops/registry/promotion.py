"""From the gate's judgement to the registry: the record, the tags of both versions, and the aliases."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from glioseg.mlops.registry.gate import GateError, Verdict, judge
from glioseg.mlops.registry.gate_report import verdict_table, write_record
from glioseg.mlops.registry.rivals import (
    BEST_SO_FAR,
    Score,
    Tables,
    find_rivals,
    worst_calibration_error,
)
from glioseg.mlops.registry.versions import CHAMPION, UNTIL, Versions
from glioseg.mlops.tracking.candidate import TEST_SET, Evaluation
from glioseg.mlops.tracking.fingerprints import metric_code
from glioseg.mlops.tracking.mlflow_runs import experiment_id, known_run
from glioseg.params.promotion import Register

RECORD = "gate"
"""The folder of a verdict's files among the artifacts of a model and of a run."""
VERDICT = "verdict"
"""The tag that is written last: a version without it was interrupted."""
AGAINST = "compared_with"
"""The tag that names the champion of the time; it is written before anything moves."""
NOBODY = "no champion"


@dataclass(frozen=True)
class Offer:
    """A version that may become champion, and what that depends on; see `registry.register`."""

    versions: Versions
    version: str
    rules: Register
    evaluation: Evaluation
    score: Score


def decide(offer: Offer) -> str:
    """Judge a version, keep the reasons, move the aliases, and write the verdict last.

    Returns:
        The verdict in one line; below it the gate's table, where there is one.
    """
    versions, version = offer.versions, offer.version
    against = _against(offer)
    returning = against != version and UNTIL in versions.tags(version)
    verdict = _of_a_former_champion(version) if returning else _judge(offer, against)
    line = _line(offer, verdict)
    if not returning and against != version:
        _keep(offer, verdict, against=against, line=line)
        _move(offer, verdict, against=against, line=line)
    versions.tag(version, {VERDICT: line})
    table = verdict_table(verdict)
    return f"{line}\n\n{table}" if table else line


def _against(offer: Offer) -> str:
    """The version to compare with: the champion, `NOBODY` or, for a champion, the version itself.

    A version that took the champion's place before it was killed is compared with that one again.
    """
    versions, version = offer.versions, offer.version
    standing = versions.bearer(CHAMPION)
    if standing != version:
        versions.tag(version, {AGAINST: standing or NOBODY})
        return standing or NOBODY
    before = versions.tags(version).get(AGAINST, version)
    return before if before == NOBODY or versions.exists(before) else version


def _of_a_former_champion(version: str) -> Verdict:
    """A version is let in once: what a person took back must not come again by itself."""
    reason = f"it was champion before; `glioseg rollback --to {version}` brings it back"
    return Verdict(promoted=False, reason=reason, limits=())


def _judge(offer: Offer, against: str) -> Verdict:
    """Compare what today's metric code measures: tables of another state of it are measured again first."""
    evaluation, alone = offer.evaluation, against in (NOBODY, offer.version)
    tables = Tables(offer.versions, evaluation.marks[TEST_SET], metric_code(), offer.score)
    rivals, remarks = ([], []) if alone else find_rivals(tables, champion=against, candidate=offer.version)
    if evaluation.metric_code == tables.code:
        own, measured = read_table(evaluation.per_case), evaluation.measured
    else:
        own = tables.now(offer.version)
        measured = {**evaluation.measured, "calibration_error": worst_calibration_error(own)}
    verdict = judge(own, rivals, rules=offer.rules, measured=measured, remarks=remarks)
    if against != offer.version:
        return verdict
    broken = "" if verdict.promoted else f", but {verdict.reason}"
    return replace(verdict, promoted=True, reason=f"it is the champion{broken}")


def read_table(per_case: Path) -> pd.DataFrame:
    """Dice by case, as a stage wrote it.

    Raises:
        GateError: the file holds no table.
    """
    try:
        return pd.read_csv(per_case, dtype={"case": str})
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise GateError(f"{per_case}: not a table of cases: {error}") from None


def _line(offer: Offer, verdict: Verdict) -> str:
    if verdict.promoted:
        return f"version {offer.version} is the champion: {verdict.reason}"
    standing = offer.versions.bearer(CHAMPION)
    stays = f"version {standing} stays champion" if standing else "there is no champion"
    return f"version {offer.version} is registered, {stays}: {verdict.reason}"


def _keep(offer: Offer, verdict: Verdict, *, against: str, line: str) -> None:
    """Put the record beside the model and on its run's page, and the numbers on the version."""
    versions, version = offer.versions, offer.version
    model_id = versions.model_id(version)
    with TemporaryDirectory() as folder:
        names = {"version": version, "compared_with": against, "verdict": line}
        write_record(Path(folder), verdict, rules=offer.rules, names=names)
        versions.client.log_model_artifacts(model_id, folder, RECORD)
        if run := _page(versions, version, model_id):
            versions.client.log_artifacts(run, folder, RECORD)
    tags = {name: f"{value:.6g}" for name, value in verdict.measured.items()}
    for found in verdict.against[0].comparisons if verdict.against else ():
        tags[f"dice_difference_{found.region.lower()}"] = f"{found.difference:.6f}"
        tags[f"dice_lower_bound_{found.region.lower()}"] = f"{found.low:.6f}"
    if best := _best_now(version, verdict):
        tags[BEST_SO_FAR] = best
    versions.tag(version, tags)


def _best_now(version: str, verdict: Verdict) -> str | None:
    """The best champion so far, now that this version was judged; None where there is no champion."""
    if not verdict.against:
        return version if verdict.promoted else None
    best = verdict.against[-1]
    return version if verdict.promoted and best.comparisons[-1].difference > 0 else best.rival.version


def _page(versions: Versions, version: str, model_id: str) -> str | None:
    """The run whose page a person opens: the newest evaluation of the model, or else its training."""
    client = versions.client
    found = client.search_runs([experiment_id(client, "evaluate")], f"tags.model_id = '{model_id}'")
    trained = versions.tags(version).get("trained_run")
    return found[0].info.run_id if found else trained if known_run(client, trained) else None


def _move(offer: Offer, verdict: Verdict, *, against: str, line: str) -> None:
    """Move the aliases, and tell the version that was compared with."""
    versions, version = offer.versions, offer.version
    before = None if against == NOBODY else against
    if before:
        versions.tag(before, {"challenged_by": version, "challenge": line})
    if verdict.promoted:
        versions.crown(version, instead_of=before, how="by the gate")
    else:
        versions.challenge(version)
