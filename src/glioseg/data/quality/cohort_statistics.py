"""Statistics of every volume of a cohort, cached by case."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from glioseg.compute import LOCAL, Cluster
from glioseg.core.modalities import ROLES
from glioseg.data.cohort.case_cache import digest_cases, lists_to_tuples, map_cached, readable_files
from glioseg.data.cohort.cases import Case, open_scans, zero_backgrounds
from glioseg.data.quality.copies import find_copies
from glioseg.data.quality.volume_statistics import Fields, VolumeStatistics, measure_scans


def measure_cohort(
    cases: Sequence[Case], *, records: Path, cluster: Cluster = LOCAL
) -> list[VolumeStatistics]:
    """The statistics of every volume of a cohort; unchanged cases are not measured again.

    Args:
        cases: cases of the cohort.
        records: folder of the per-case cache; see `glioseg.data.cohort.case_cache`.
        cluster: workers that measure the cases.

    Returns:
        One entry per file, in the order of the cases and of `ROLES`.
    """
    distinct = list({case.case: case for case in cases}.values())
    names = {case.case: [file.name for file in case.files.values()] for case in distinct}
    digests = digest_cases(distinct, records=records, cluster=cluster)
    entries = map_cached(
        _measure_to_json,
        distinct,
        code=__name__,
        key=lambda case: [case.case, names[case.case], case.scheme, digests[case.case]],
        inputs=lambda case: readable_files(case, digests[case.case]),
        folder=records / "validate_raw",
        title="measure volumes",
        cluster=cluster,
    )
    return find_copies([VolumeStatistics(**lists_to_tuples(row)) for each in entries for row in each.result])


def _measure_to_json(case: Case, _: Path) -> list[Fields]:
    return [asdict(volume) for volume in measure_scans(case, zero_backgrounds(open_scans(case, ROLES)))]
