"""Stage crop: crop the accepted, labelled cases to the brain and store them, or only where they lie."""

from pathlib import Path

from _stage import RECORDS, chosen_cluster, run
from glioseg.core.files import read_json
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.store.cropped_store import store_cohort
from glioseg.params import load_params
from glioseg.params.contract import CONTRACT, load_contract

RAW, CROPPED, VERDICT = Path("data/raw"), Path("data/cropped"), Path("reports/validation/raw.json")


def main() -> None:
    params = load_params().crop
    verdicts = read_json(VERDICT)["cases"]
    cases = [c for c in read_cohort(RAW / COHORT) if verdicts[c.case]["status"] == "accepted"]
    kept = () if params.on_the_fly else params.spacings_mm
    store_cohort(
        CROPPED,
        cases,
        margin_vox=params.margin_vox,
        spacings_mm=kept,
        affine_tolerance=load_contract(Path(CONTRACT)).affine.refused_above,
        records=RECORDS,
        cluster=chosen_cluster(),
    )
    what = (
        f"stored at {' and '.join(f'{n} mm' for n in kept)}" if kept else "placed, to be cropped on the fly"
    )
    print(f"crop: {len(cases)} cases {what} in {CROPPED}")


if __name__ == "__main__":
    run(main)
