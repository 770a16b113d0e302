"""The phantom cohort that the benchmarks share: made as the pipeline makes it, once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.options import COHORT as SECTIONS
from bench.options import Options, digest
from glioseg.core.files import write_atomic
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.data.cohort.cases import COHORT, Case, read_cohort
from glioseg.data.cohort.ingest import acquire_phantoms
from glioseg.data.cohort.splits import Splits, split_cases
from glioseg.data.store.cropped_cases import MANIFEST
from glioseg.data.store.cropped_store import store_cohort
from glioseg.params import load_params

SMOKE_CASES, MANY = 6, 65


@dataclass(frozen=True)
class Cohort:
    """Raw scans, the store of cropped cases, and the splits, all in one folder."""

    folder: Path

    @property
    def raw(self) -> Path:
        """The raw scans."""
        return self.folder / "raw"

    @property
    def store(self) -> Path:
        """The cropped cases."""
        return self.folder / "cropped"

    @cached_property
    def splits(self) -> Splits:
        """Names of the cases of each part."""
        return json.loads((self.folder / "splits.json").read_text())

    @cached_property
    def cases(self) -> dict[str, Case]:
        """The raw cases by name."""
        return {case.case: case for case in read_cohort(self.raw / COHORT)}

    @property
    def tests(self) -> list[Case]:
        """The test cases."""
        return [self.cases[name] for name in self.splits["test"]]


def prepare(options: Options) -> Cohort:
    """The cohort of params.yaml, or a few cases of it for a smoke run."""
    cohort, params = Cohort(options.work / f"cohort_{digest(*SECTIONS)}"), load_params()
    if not (cohort.folder / "splits.json").exists():
        records = cohort.folder / "records"
        count = SMOKE_CASES if options.smoke else params.phantom.cases
        cases = acquire_phantoms(
            cohort.raw, **params.phantom.model_copy(update={"cases": count}).model_dump(), records=records
        )
        crop = params.crop.model_dump(include={"margin_vox", "spacings_mm"})
        store_cohort(cohort.store, cases, **crop, records=records)
        manifest = pd.read_csv(cohort.store / MANIFEST, dtype={"case": str, "patient": str, "grade": str})
        splits = split_cases(manifest, **params.split.model_dump())
        write_atomic(cohort.folder / "splits.json", json.dumps(splits, indent=2).encode())
    return cohort


def many(options: Options) -> list[Case]:
    """More phantoms: those of the cohort, and as many of the same kind as it takes."""
    records, count = prepare(options).folder / "records", SMOKE_CASES if options.smoke else MANY
    seed = load_params().phantom.seed
    return acquire_phantoms(
        options.work / "many/raw", cases=count, seed=seed, preset="typical", records=records
    )


def copies(cases: Sequence[Case], count: int, labels: Path) -> list[Case]:
    """As many cases as one likes of a few scans: the same files but for the label's, whose bytes differ.

    A stage knows a case by the content of its files; without a difference it would crop each scan once.

    Args:
        cases: with labels.
        count: how many to make.
        labels: a folder for their label files.
    """
    labels.mkdir(parents=True, exist_ok=True)
    made = []
    for index in range(count):
        case, name = cases[index % len(cases)], f"scan_{index:04d}"
        label = labels / f"{name}_{SEGMENTATION}.nii.gz"
        label.write_bytes(stamped(case.files[SEGMENTATION].read_bytes(), index))
        made.append(replace(case, case=name, files={**case.files, SEGMENTATION: label}))
    return made


def stamped(gzip: bytes, number: int) -> bytes:
    """A gzip file with a number in the place of its time of change.

    >>> import zlib
    >>> old = zlib.compress(b"voxels", wbits=31)
    >>> zlib.decompress(stamped(old, 7), wbits=31), stamped(old, 7) == old
    (b'voxels', False)
    """
    return gzip[:4] + number.to_bytes(4, "little") + gzip[8:]


def images(case: Case) -> list[Path]:
    """A case's four images in the order of `MODALITIES`, the peers' channels."""
    return [case.files[name].resolve() for name in MODALITIES]
