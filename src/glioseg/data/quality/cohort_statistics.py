"""The measured table of a raw cohort: one row a volume.

`glioseg.data.quality.gx_validation` holds the table to its expectations.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from glioseg.compute import LOCAL, Cluster
from glioseg.core.modalities import ROLES, SEGMENTATION
from glioseg.data.cohort.case_cache import digest_cases, readable, record_cases, tuples
from glioseg.data.cohort.case_io import open_scans
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.volume_statistics import VolumeRow, measure_scans


def measure_cohort(cases: Sequence[Case], *, records: Path, cluster: Cluster = LOCAL) -> list[VolumeRow]:
    """Measure every volume of a cohort; a case that is as it was is not measured again.

    Args:
        cases: the cohort.
        records: folder of what was done before; see `glioseg.data.cohort.case_cache`.
        cluster: where cases are done.

    Returns:
        The rows in the order of the cases and of `ROLES`; a role without a file has no row.
    """
    distinct = list({case.case: case for case in cases}.values())
    contents = digest_cases(distinct, records=records, cluster=cluster)
    measured = record_cases(
        _measured,
        distinct,
        code=__name__,
        facts=lambda case: [case.case, _names(case), case.scheme, contents[case.case]],
        reads=lambda case: readable(case, contents[case.case]),
        folder=records / "validate_raw",
        title="measure volumes",
        cluster=cluster,
    )
    return _find_twins([VolumeRow(**tuples(row)) for record in measured for row in record.found])


def _names(case: Case) -> list[str]:
    return [file.name for file in case.files.values()]


def _measured(case: Case, _: Path) -> list[dict[str, Any]]:
    return [asdict(row) for row in measure_case(case)]


def measure_case(case: Case) -> list[VolumeRow]:
    """Measure the volumes of one case; one that cannot be read gets a row that says why."""
    return measure_scans(case, open_scans(case, ROLES))


def _find_twins(rows: list[VolumeRow]) -> list[VolumeRow]:
    """Say of each image which earlier one has its bytes; segmentations may well be equal (no tumour)."""
    first: dict[str, str] = {}
    twins = []
    for row in rows:
        name = f"{row.case}/{row.role}"
        if row.sha256 is None or row.role == SEGMENTATION or first.setdefault(row.sha256, name) == name:
            twins.append(row)
        else:
            twins.append(replace(row, same_bytes_as=first[row.sha256]))
    return twins
