"""Stage acquire: copy the cohort to data/raw, or render phantoms there."""

from pathlib import Path

from _stage import RECORDS, configured_cluster, run, split_sizes
from glioseg.data.cohort.ingest import acquire_folder, acquire_phantoms
from glioseg.data.cohort.splits import SplitError, part_sizes
from glioseg.params import load_params

RAW = Path("data/raw")


def main() -> None:
    params, cluster = load_params(), configured_cluster()
    data = params.data
    if data.scans:
        cases = acquire_folder(
            RAW,
            source=data.scans,
            scheme=data.scheme,
            patients=data.patients,
            pattern=data.pattern,
            records=RECORDS,
            cluster=cluster,
        )
    else:
        cases = acquire_phantoms(RAW, **params.phantom.model_dump(), records=RECORDS, cluster=cluster)
    labelled = sum(case.labelled for case in cases)
    schemes = " and ".join(sorted({case.scheme for case in cases}))
    print(f"acquire: {len(cases)} cases in {RAW}, {labelled} with a segmentation ({schemes})")
    warn_of_small_cohort(len({case.patient for case in cases if case.labelled}))


def warn_of_small_cohort(patients: int) -> None:
    """Say that stage split will fail, before hours of validation and cropping.

    Args:
        patients: the number of patients with labelled cases.
    """
    try:
        part_sizes(patients, **split_sizes())
    except SplitError as error:
        print(f"acquire: warning: with this cohort stage split will stop: {error}", flush=True)


if __name__ == "__main__":
    run(main)
