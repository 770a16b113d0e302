"""Compares a candidate version with the champions, and moves the aliases as the gate decides.

The candidate is compared with the present champion and with the best champion so far. Against the present
champion alone, losses within the margin could add up over a series of champions.
"""

from dataclasses import dataclass, replace

import pandas as pd

from glioseg.mlops.registry.candidate import TEST_SET_HASH, Evaluation
from glioseg.mlops.registry.case_tables import (
    UNREADABLE,
    CaseTables,
    Score,
    mean_dice,
    read_table,
    worst_calibration_error,
)
from glioseg.mlops.registry.gate import (
    BEST_ROLE,
    CHAMPION_ROLE,
    LAST_ROLE,
    Baseline,
    GateDecision,
    decide,
)
from glioseg.mlops.registry.gate_report import decision_table, log_gate_files
from glioseg.mlops.registry.versions import CHAMPION, Versions
from glioseg.mlops.tracking.run_tags import metric_code_fingerprint
from glioseg.params.sections import Register

GATE_DECISION = "gate_decision"
"""The tag that is written last: the registration of a version without it was interrupted."""
COMPARED_WITH = "compared_with"
"""The tag with the champion at the time of the decision; it is written before any alias moves."""
BEST_CHAMPION = "best_champion"
"""The tag with the best champion at the time of the decision, which may be the version itself."""
NO_CHAMPION = "no champion"


@dataclass(frozen=True)
class Candidate:
    """A version that may become champion, with everything that the decision depends on; see `register`."""

    versions: Versions
    version: str
    rules: Register
    evaluation: Evaluation
    score: Score

    @property
    def tables(self) -> CaseTables:
        """Dice per case of all versions on the test cases of the evaluation."""
        test_set = self.evaluation.identifying_tags[TEST_SET_HASH]
        return CaseTables(self.versions, test_set, metric_code_fingerprint(), self.score)


def decide_promotion(candidate: Candidate) -> str:
    """Compare a version with the champions, log the decision, move the aliases, and tag the version last.

    Returns:
        The decision in one line; below it the gate's table, if there is one.
    """
    versions, version = candidate.versions, candidate.version
    is_former = versions.version_under(CHAMPION) != version and versions.was_champion(version)
    against = version if is_former else _champion_to_compare(candidate)
    decision = _former_champion(version) if is_former else _decide(candidate, against)
    line = _summary(candidate, decision)
    if against != version:
        names = {"version": version, "compared_with": against, "decision": line}
        log_gate_files(versions, decision, rules=candidate.rules, names=names)
        versions.set_tags(version, _result_tags(version, decision))
        _move_aliases(candidate, decision, against=against, line=line)
    versions.set_tags(version, {GATE_DECISION: line})
    table = decision_table(decision)
    return f"{line}\n\n{table}" if table else line


def _champion_to_compare(candidate: Candidate) -> str:
    """The champion, `NO_CHAMPION`, or the version itself if it is the champion.

    If someone removed the champion's alias, it is the last champion: without an alias the gate is as strict.
    After an interruption, a version that became champion is compared with the former champion again.
    """
    versions, version = candidate.versions, candidate.version
    champion = versions.version_under(CHAMPION)
    if champion != version:
        against = champion or versions.last_champion() or NO_CHAMPION
        versions.set_tags(version, {COMPARED_WITH: against})
        return against
    before = versions.tags(version).get(COMPARED_WITH, version)
    return before if before == NO_CHAMPION or versions.exists(before) else version


def _former_champion(version: str) -> GateDecision:
    """The decision on a former champion: the gate never reverses a rollback by a person."""
    reason = f"it was champion before; `glioseg rollback --to {version}` brings it back"
    return GateDecision(promoted=False, reason=reason, limits=())


def _decide(candidate: Candidate, against: str) -> GateDecision:
    """Compare tables by the present metric code; tables by earlier code are first computed again."""
    evaluation, alone = candidate.evaluation, against in (NO_CHAMPION, candidate.version)
    tables = candidate.tables
    baselines, remarks = (
        ([], []) if alone else find_baselines(tables, champion=against, candidate=candidate.version)
    )
    if evaluation.metric_code == tables.code:
        own, measured = read_table(evaluation.per_case), evaluation.measured
    else:
        own = tables.current(candidate.version)
        measured = {**evaluation.measured, "calibration_error": worst_calibration_error(own)}
    decision = decide(own, baselines, rules=candidate.rules, measured=measured, remarks=remarks)
    if against != candidate.version:
        return decision
    exceeded = "" if decision.promoted else f", but {decision.reason}"
    return replace(decision, promoted=True, reason=f"it is the champion{exceeded}")


def _summary(candidate: Candidate, decision: GateDecision) -> str:
    if decision.promoted:
        return f"version {candidate.version} is the champion: {decision.reason}"
    champion = candidate.versions.version_under(CHAMPION)
    stays = f"version {champion} stays champion" if champion else "there is no champion"
    return f"version {candidate.version} is registered, {stays}: {decision.reason}"


def _result_tags(version: str, decision: GateDecision) -> dict[str, str]:
    """Tags with the numbers of the decision, and with the best champion after it, if there is one."""
    tags = {name: f"{value:.6g}" for name, value in decision.measured.items()}
    for region in decision.comparisons[0].regions if decision.comparisons else ():
        tags[f"dice_difference_{region.region.lower()}"] = f"{region.difference:.6f}"
        tags[f"dice_lower_bound_{region.region.lower()}"] = f"{region.low:.6f}"
    if not decision.comparisons:
        return tags | ({BEST_CHAMPION: version} if decision.promoted else {})
    best = decision.comparisons[-1]
    is_better = decision.promoted and best.regions[-1].difference > 0
    return tags | {BEST_CHAMPION: version if is_better else best.baseline.version}


def _move_aliases(candidate: Candidate, decision: GateDecision, *, against: str, line: str) -> None:
    """Make the version champion if it passed, the best other one challenger, and tag the former champion."""
    versions, version = candidate.versions, candidate.version
    before = None if against == NO_CHAMPION else against
    if before:
        versions.set_tags(before, {"last_challenger": version, "last_decision": line})
    if decision.promoted:
        versions.set_champion(version, replaces=before, cause="by the gate")
    if challenger := best_challenger(candidate.tables, candidate=version):
        versions.set_challenger(challenger)


def best_challenger(tables: CaseTables, *, candidate: str) -> str | None:
    """The version with the best mean Dice of those that never were champion; None if there is none.

    Args:
        tables: of the present test cases; a version without a stored table of them does not count.
        candidate: the version of which the decision is not written yet.
    """
    versions = tables.versions
    decided = [v for v in versions.never_champion() if v == candidate or GATE_DECISION in versions.tags(v)]
    dice = {v: mean_dice(table) for v in decided if (table := _stored_if_readable(tables, v)) is not None}
    return max(dice, key=lambda version: dice[version], default=None)


def find_baselines(tables: CaseTables, *, champion: str, candidate: str) -> tuple[list[Baseline], list[str]]:
    """The champion and, if that is another version, the best champion so far.

    Args:
        tables: of the present test cases.
        champion: the version under the alias, or the last champion if there is no alias.
        candidate: the version that may replace it.

    Returns:
        The baselines, and a remark for each former champion that cannot be compared.
    """
    champion_table = tables.current(champion)
    best, table, remarks = _best_champion(tables, champion, champion_table, candidate)
    role = CHAMPION_ROLE if tables.versions.version_under(CHAMPION) else LAST_ROLE
    baselines = [Baseline(champion, role, champion_table)]
    if best != champion:
        baselines.append(Baseline(best, BEST_ROLE, table))
    return baselines, remarks


def _best_champion(
    tables: CaseTables, champion: str, champion_table: pd.DataFrame, candidate: str
) -> tuple[str, pd.DataFrame, list[str]]:
    """The best of all champions; a former one is evaluated again only if its stored table is better."""
    former = [v for v in tables.versions.champions() if v not in (champion, candidate)]
    stored = {v: table for v in former if (table := _stored_if_readable(tables, v)) is not None}
    best, best_table, remarks = champion, champion_table, []
    for version in sorted(stored, key=lambda v: mean_dice(stored[v]), reverse=True):
        if mean_dice(stored[version]) <= mean_dice(best_table):
            break
        try:
            table = tables.current(version)
        except UNREADABLE as error:
            remarks.append(_remark(version, f"it cannot be loaded ({' '.join(str(error).split())})"))
            continue
        if mean_dice(table) > mean_dice(best_table):
            best, best_table = version, table
    expected = tables.versions.tags(champion).get(BEST_CHAMPION, champion)
    if expected not in (champion, candidate, *stored):
        remarks.append(_remark(expected, _why_excluded(tables.versions, expected)))
    return best, best_table, remarks


def _stored_if_readable(tables: CaseTables, version: str) -> pd.DataFrame | None:
    try:
        return tables.stored(version)
    except UNREADABLE:
        return None


def _remark(version: str, reason: str) -> str:
    return f"not compared with version {version}, the best champion so far: {reason}"


def _why_excluded(versions: Versions, version: str) -> str:
    if not versions.exists(version):
        return "it was deleted"
    if version not in versions.champions():
        return "it was rolled back by hand"
    return "it has no table of these test cases"
