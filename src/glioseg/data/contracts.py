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

from glioseg.data.cases import Case
from glioseg.data.crop_contract import crop_tables
from glioseg.data.docs_site import finish_site
from glioseg.data.raw_contract import raw_tables
from glioseg.data.rules import Rule, Table, as_text
from glioseg.data.store_survey import CropRow
from glioseg.data.survey import VolumeRow
from glioseg.data.verdict import ContractError, Finding, OnFailure, Verdict, judge
from glioseg.files import replaced_whole
from glioseg.params import Validate

INDEX = ["case", "role", "file"]
"""The columns by which a violation is found again."""

WORDING = ("name", "expected", "observed", "role", "file", "warning")
"""The fields of a rule that travel through Great Expectations into its results."""


def check_raw(cases: Sequence[Case], rows: Sequence[VolumeRow], expected: Validate, *, docs: Path) -> Verdict:
    """Hold a raw cohort to its contract and write its Data Docs.

    A case without a segmentation is for prediction only; of two cases with the same bytes the later
    one is refused.

    Args:
        cases: the cohort.
        rows: its measured volumes, as from `survey.measure_cohort`.
        expected: what a volume must be, and whether a violation stops the pipeline.
        docs: folder of the pages; what it held before is replaced.

    Raises:
        ContractError: no case at all, or a rule that could not be evaluated.
    """
    if not cases:
        raise ContractError("cohort: expected at least one case, got none")
    names = [case.case for case in cases]
    tables = raw_tables(cases, rows, expected)
    return _conclude("raw", names, tables, [asdict(row) for row in rows], expected.on_failure, docs)


def check_cropped(rows: Sequence[CropRow], *, docs: Path) -> Verdict:
    """Hold the store of cropped cases to its contract and write its Data Docs.

    A violation is a fault of the crop and not of a scan, so it always stops the pipeline.

    Args:
        rows: the measured store, as from `store_survey.measure_store`.
        docs: folder of the pages; what it held before is replaced.
    """
    names = [row.case for row in rows]
    return _conclude("cropped", names, crop_tables(rows), [asdict(row) for row in rows], "stop", docs)


def _conclude(
    stage: str,
    names: Sequence[str],
    tables: Sequence[Table],
    volumes: list[dict[str, object]],
    on_failure: OnFailure,
    docs: Path,
) -> Verdict:
    with replaced_whole(docs) as aside:
        context = _context(aside)
        findings = [finding for table in tables for finding in _evaluate(context, table, stage)]
        context.build_data_docs()
        verdict = judge(stage, cases=names, findings=findings, volumes=volumes, on_failure=on_failure)
        finish_site(aside, verdict)
    return verdict


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


def _evaluate(context: gx.data_context.EphemeralDataContext, table: Table, stage: str) -> Iterator[Finding]:
    """Run a table's rules as one suite; yield each row that a rule rejects."""
    # Columns of plain objects keep whole numbers whole beside None.
    frame = pd.DataFrame.from_records(list(table.records)).astype(object)
    frame = frame.where(frame.notna(), None)
    asset = context.data_sources.add_pandas(table.name).add_dataframe_asset(table.name)
    suite = gx.ExpectationSuite(name=table.name, expectations=[_expectation(rule) for rule in table.rules])
    definition = gx.ValidationDefinition(
        name=table.name,
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(suite),
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": INDEX},
        run_id=RunIdentifier(run_name=stage),
    )
    for result in outcome.results:
        yield from _findings(result)


def _expectation(rule: Rule) -> gxe.Expectation:
    wording = {word: getattr(rule, word) for word in WORDING}
    plain = rule.expected.replace("{", "").replace("}", "")
    condition = {} if rule.where is None else {"row_condition": Column(rule.where[0]) == rule.where[1]}
    return getattr(gxe, rule.kind)(
        meta=wording,
        description=f"{rule.name}: expected {plain}",
        severity="warning" if rule.warning else "critical",
        **condition,
        **rule.settings,
    )


def _findings(result: gx.core.ExpectationValidationResult) -> Iterator[Finding]:
    rule = result.expectation_config.meta
    rejected = result.result.get("unexpected_index_list")
    if not result.success and not rejected:
        raise ContractError(f"rule {rule['name']!r} could not be evaluated: {result.exception_info}")
    for entry in rejected or ():
        values = {column: as_text(value) for column, value in entry.items()}
        role, file, expected, observed = (
            rule[part].format(**values) for part in ("role", "file", "expected", "observed")
        )
        yield Finding(values["case"], role, file, rule["name"], expected, observed, rule["warning"])
