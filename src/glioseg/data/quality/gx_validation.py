"""Great Expectations holds measured tables to their rules; nothing else judges the data.

The one module that imports Great Expectations, which takes eight seconds: a stage imports it where it
is needed and not at its top. Nothing goes over the network: analytics are off, and `docs_site` makes
the Data Docs pages readable without one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.row_conditions import Column

from glioseg.core.files import replaced_whole
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.cohort_outliers import alike_cases
from glioseg.data.quality.cropped_expectations import crop_tables
from glioseg.data.quality.data_docs import finish_site
from glioseg.data.quality.expectations import Rule, Table
from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.data.quality.store_statistics import CropRow
from glioseg.data.quality.thumbnails import draw_findings
from glioseg.data.quality.validation_report import ContractError, Finding, OnFailure, Verdict, judge
from glioseg.data.quality.volume_statistics import VolumeRow
from glioseg.params.contract import Contract

INDEX = ["case", "role", "file"]
"""The columns by which a violation is found again."""

NUMBER = "rule"
"""What a rule's number in its table is called in the results of Great Expectations."""


def check_raw(
    cases: Sequence[Case],
    rows: Sequence[VolumeRow],
    contract: Contract,
    *,
    on_failure: OnFailure,
    docs: Path,
) -> Verdict:
    """Hold a raw cohort to its contract and write its Data Docs.

    A case without a segmentation is for prediction only; of two cases with the same bytes the later
    one is refused.

    Args:
        cases: the cohort.
        rows: its measured volumes, as from `survey.measure_cohort`.
        contract: what a volume must be.
        on_failure: whether a violation stops the pipeline.
        docs: folder of the pages; what it held before is replaced.

    Raises:
        ContractError: no case at all, or a rule that could not be evaluated.
    """
    if not cases:
        raise ContractError("cohort: expected at least one case, got none")
    names = [case.case for case in cases]
    unlabelled = {case.case for case in cases if not case.labelled}
    with replaced_whole(docs) as aside:
        verdict = judge(
            "raw",
            cases=names,
            findings=evaluate(raw_tables(cases, rows, contract), "raw", aside),
            volumes=[_shown(row) for row in rows],
            on_failure=on_failure,
            unlabelled=unlabelled,
            alike=alike_cases(rows, {case.case: case.patient for case in cases}, contract),
        )
        files = {case.case: case.files for case in cases}
        finish_site(aside, verdict, draw_findings(files, verdict, aside))
    return verdict


def _shown(row: VolumeRow) -> dict[str, object]:
    """What a person may want to read of a row."""
    return {name: value for name, value in asdict(row).items() if name != "fingerprint"}


def check_cropped(rows: Sequence[CropRow], *, docs: Path) -> Verdict:
    """Hold the store of cropped cases to its contract and write its Data Docs.

    A violation is a fault of the crop and not of a scan, so it always stops the pipeline.

    Args:
        rows: the measured store, as from `store_survey.measure_store`.
        docs: folder of the pages; what it held before is replaced.
    """
    with replaced_whole(docs) as aside:
        findings = evaluate(crop_tables(rows), "cropped", aside)
        names, measured = [row.case for row in rows], [asdict(row) for row in rows]
        verdict = judge("cropped", cases=names, findings=findings, volumes=measured, on_failure="stop")
        finish_site(aside, verdict, {})
    return verdict


def evaluate(tables: Sequence[Table], stage: str, docs: Path) -> list[Finding]:
    """Hold tables to their rules, and write pages about it.

    Args:
        tables: as from `raw_tables` or `crop_tables`.
        stage: what is validated: "raw" or "cropped".
        docs: an empty folder for the pages.

    Raises:
        ContractError: a rule that could not be evaluated.
    """
    context = _context(docs)
    findings = [finding for table in tables for finding in _evaluate_table(context, table, stage)]
    context.build_data_docs()
    return findings


def _context(docs: Path) -> gx.data_context.EphemeralDataContext:
    """A context that lives in memory and writes nothing but its pages."""
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.absolute()),
        },
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"pages": site},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _evaluate_table(
    context: gx.data_context.EphemeralDataContext, table: Table, stage: str
) -> Iterator[Finding]:
    """Run a table's rules as one suite; yield each row that a rule rejects."""
    # Columns of plain objects keep whole numbers whole beside None.
    frame = pd.DataFrame.from_records(list(table.records)).astype(object)
    frame = frame.where(frame.notna(), None)
    asset = context.data_sources.add_pandas(table.name).add_dataframe_asset(table.name)
    expectations = [_expectation(rule, number) for number, rule in enumerate(table.rules)]
    definition = gx.ValidationDefinition(
        name=table.name,
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(gx.ExpectationSuite(name=table.name, expectations=expectations)),
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": INDEX},
        run_id=RunIdentifier(run_name=stage),
    )
    for result in outcome.results:
        yield from _findings(result, table.rules[result.expectation_config.meta[NUMBER]])


def _expectation(rule: Rule, number: int) -> gxe.Expectation:
    plain = rule.expected.replace("{", "").replace("}", "")
    condition = {} if rule.where is None else {"row_condition": Column(rule.where[0]) == rule.where[1]}
    return getattr(gxe, rule.kind)(
        meta={NUMBER: number},
        description=f"{rule.name}: expected {plain}",
        severity=rule.severity,
        **condition,
        **rule.settings,
    )


def _findings(result: gx.core.ExpectationValidationResult, rule: Rule) -> Iterator[Finding]:
    rejected = result.result.get("unexpected_index_list")
    if not result.success and not rejected:
        raise ContractError(f"rule {rule.name!r} could not be evaluated: {result.exception_info}")
    yield from (rule.finding(entry) for entry in rejected or ())
