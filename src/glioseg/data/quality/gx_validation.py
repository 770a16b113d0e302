"""Validate cohorts with Great Expectations: findings, reports and Data Docs.

Only this module imports Great Expectations, which takes eight seconds, so stages import it inside functions.
It never uses the network: analytics are off, and `data_docs` makes the pages readable offline.
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

from glioseg.core.files import replace_folder_atomic
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.unread import Unread
from glioseg.data.quality.crop_validation import CropStatistics, crop_tables
from glioseg.data.quality.data_docs import draw_findings, finish_site
from glioseg.data.quality.expectations import Expectation, Finding, Table
from glioseg.data.quality.raw_expectations import near_duplicate_cases, raw_tables
from glioseg.data.quality.validation_report import ContractError, OnFailure, ValidationReport, build_report
from glioseg.data.quality.volume_statistics import VolumeStatistics
from glioseg.params.contract import Contract

INDEX = ["case", "role", "file"]
"""The columns that identify a row in the results of Great Expectations."""

NUMBER = "rule"
"""The key of an expectation's number in its table, in the metadata of Great Expectations."""


def check_raw(
    cases: Sequence[Case],
    volumes: Sequence[VolumeStatistics],
    contract: Contract,
    *,
    on_failure: OnFailure,
    docs: Path,
    unread_files: Sequence[Unread] = (),
) -> ValidationReport:
    """Validate a raw cohort and write its Data Docs.

    A case without a segmentation is for prediction only. If two cases have the same bytes, the later one
    is refused.

    Args:
        cases: cases of the cohort.
        volumes: the statistics of all volumes, as from `measure_cohort`.
        contract: the settings and severities of the rules.
        on_failure: whether a violation stops the pipeline.
        docs: folder of the pages; its previous content is replaced.
        unread_files: files of the user's folder that belong to no case, for the report.

    Raises:
        ContractError: the cohort is empty, or an expectation cannot be evaluated.
    """
    if not cases:
        raise ContractError("cohort: expected at least one case, got none")
    names = [case.case for case in cases]
    unlabelled = {case.case for case in cases if not case.labelled}
    with replace_folder_atomic(docs) as new:
        report = build_report(
            "raw",
            cases=names,
            findings=evaluate(raw_tables(cases, volumes, contract), "raw", new),
            volumes=[_without_fingerprint(volume) for volume in volumes],
            on_failure=on_failure,
            unlabelled=unlabelled,
            near_duplicates=near_duplicate_cases(cases, volumes, contract),
            unread_files=unread_files,
        )
        files_of = {case.case: case.files for case in cases}
        finish_site(new, report, draw_findings(files_of, report, new))
    return report


def _without_fingerprint(volume: VolumeStatistics) -> dict[str, object]:
    """The statistics that are readable for people: all but the fingerprint."""
    return {name: value for name, value in asdict(volume).items() if name != "fingerprint"}


def check_cropped(crops: Sequence[CropStatistics], *, docs: Path) -> ValidationReport:
    """Validate the cropped cases and write their Data Docs.

    A violation is an error of the crop, not of a scan, so it always stops the pipeline.

    Args:
        crops: the statistics of all crops, as from `measure_store`.
        docs: folder of the pages; its previous content is replaced.
    """
    with replace_folder_atomic(docs) as new:
        findings = evaluate(crop_tables(crops), "cropped", new)
        names, rows = [crop.case for crop in crops], [asdict(crop) for crop in crops]
        report = build_report("cropped", cases=names, findings=findings, volumes=rows, on_failure="stop")
        finish_site(new, report, {})
    return report


def evaluate(tables: Sequence[Table], stage: str, docs: Path) -> list[Finding]:
    """The findings of tables; also writes the pages of Great Expectations.

    Args:
        tables: tables from `raw_tables` or `crop_tables`.
        stage: the validated data: "raw" or "cropped".
        docs: an empty folder for the pages.

    Raises:
        ContractError: an expectation cannot be evaluated.
    """
    context = _context(docs)
    findings = [finding for table in tables for finding in _evaluate_table(context, table, stage)]
    context.build_data_docs()
    return findings


def _context(docs: Path) -> gx.data_context.EphemeralDataContext:
    """A context that is in memory, except for the pages that it writes."""
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
    """Evaluate the expectations of a table as one suite; yield a finding for each unexpected row."""
    # Columns have dtype object, because pandas would turn integers beside None into floats.
    frame = pd.DataFrame.from_records(list(table.rows)).astype(object)
    frame = frame.where(frame.notna(), None)
    asset = context.data_sources.add_pandas(table.name).add_dataframe_asset(table.name)
    expectations = [_to_gx(expectation, number) for number, expectation in enumerate(table.expectations)]
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
        yield from _findings(result, table.expectations[result.expectation_config.meta[NUMBER]])


def _to_gx(expectation: Expectation, number: int) -> gxe.Expectation:
    expected = expectation.expected.replace("{", "").replace("}", "")
    where = expectation.where
    condition = {} if where is None else {"row_condition": Column(where[0]) == where[1]}
    return getattr(gxe, expectation.kind)(
        meta={NUMBER: number},
        description=f"{expectation.name}: expected {expected}",
        severity=expectation.severity,
        **condition,
        **expectation.settings,
    )


def _findings(result: gx.core.ExpectationValidationResult, expectation: Expectation) -> Iterator[Finding]:
    unexpected = result.result.get("unexpected_index_list")
    if not result.success and not unexpected:
        raise ContractError(f"rule {expectation.name!r} could not be evaluated: {result.exception_info}")
    yield from (expectation.finding(row) for row in unexpected or ())
