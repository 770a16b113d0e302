"""Stage inventory: list the files of the user's folder, so that DVC runs acquire again if it changes.

It is the first stage and always runs, so it also warns if git cannot tell the commit.
"""

from pathlib import Path

from _stage import run
from glioseg.core.files import write_atomic
from glioseg.data.cohort.inventory import take_inventory
from glioseg.mlops.tracking.git_dvc import why_no_commit
from glioseg.params import load_params

RAW, INVENTORY = Path("data/raw"), Path("data/inventory.csv")


def main() -> None:
    if why := why_no_commit():
        print(
            f"inventory: the git commit is unknown, and the models' lineage will lack it: {why}", flush=True
        )
    data = load_params().data
    scans = data.scans
    if scans is not None and not scans.is_dir() and INVENTORY.exists():
        print(f"inventory: {scans} is not on this machine: the cohort is unchanged")
        return
    inventory = take_inventory(scans, cohort=RAW, patients=data.patients)
    write_atomic(INVENTORY, inventory.encode(errors="surrogateescape"))


if __name__ == "__main__":
    run(main)
