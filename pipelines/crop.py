"""Stage crop: crop the accepted, labelled cases to the brain; store the voxels, or only the crop boxes."""

from pathlib import Path

from _stage import RECORDS, configured_cluster, run
from glioseg.core.files import read_json
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.store.cropped_store import store_cohort
from glioseg.params import load_params
from glioseg.params.contract import CONTRACT, load_contract

RAW, CROPPED, VALIDATION = Path("data/raw"), Path("data/cropped"), Path("reports/validation/raw.json")


def main() -> None:
    params = load_params().crop
    validated = read_json(VALIDATION)["cases"]
    cases = [c for c in read_cohort(RAW / COHORT) if validated[c.case]["status"] == "accepted"]
    stored_mm = () if params.on_the_fly else params.spacings_mm
    store_cohort(
        CROPPED,
        cases,
        margin_vox=params.margin_vox,
        spacings_mm=stored_mm,
        affine_tolerance=load_contract(Path(CONTRACT)).affine.rejection_threshold_mm,
        records=RECORDS,
        cluster=configured_cluster(),
    )
    spacings = " and ".join(f"{spacing} mm" for spacing in stored_mm)
    what = f"stored at {spacings}" if stored_mm else "located for cropping on the fly"
    print(f"crop: {len(cases)} cases {what} in {CROPPED}")


if __name__ == "__main__":
    run(main)
