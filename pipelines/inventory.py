"""Stage inventory: note what files the user's folder holds, so that a changed folder is acquired again."""

from pathlib import Path

from _stage import run
from glioseg.core.files import write_whole
from glioseg.data.cohort.inventory import take_inventory
from glioseg.params import load_params

RAW, INVENTORY = Path("data/raw"), Path("data/inventory.csv")


def main() -> None:
    data = load_params().data
    scans = data.scans
    if scans is not None and not scans.is_dir() and INVENTORY.exists():
        print(f"inventory: {scans} is not on this machine: the cohort stays as it is")
        return
    listed = take_inventory(scans, cohort=RAW, patients=data.patients)
    write_whole(INVENTORY, listed.encode(errors="surrogateescape"))


if __name__ == "__main__":
    run(main)
