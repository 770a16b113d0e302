"""Stage inventory: list the files of the user's folder, so that DVC runs acquire again if it changes."""

from pathlib import Path

from _stage import run
from glioseg.core.files import write_atomic
from glioseg.data.cohort.layouts import take_inventory
from glioseg.params import load_params

RAW, INVENTORY = Path("data/raw"), Path("data/inventory.csv")


def main() -> None:
    data = load_params().data
    scans = data.scans
    if scans is not None and not scans.is_dir() and INVENTORY.exists():
        print(f"inventory: {scans} is not on this machine: the cohort is unchanged")
        return
    inventory = take_inventory(scans, cohort=RAW, patients=data.patients)
    write_atomic(INVENTORY, inventory.encode(errors="surrogateescape"))


if __name__ == "__main__":
    run(main)
