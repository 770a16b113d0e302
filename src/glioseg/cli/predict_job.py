"""Preparation of `glioseg predict`: find models, choose the files to write, and find unfinished cases."""

import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from glioseg.api.model import find_models
from glioseg.cli.predict_case import SEGMENTED, CaseJob, JobSettings, Product, Row, input_sha256
from glioseg.compute import Cluster
from glioseg.core import old_names
from glioseg.core.errors import GliosegError
from glioseg.core.files import write_atomic
from glioseg.core.fingerprint import code_fingerprint, folder_fingerprint
from glioseg.core.labels import REGIONS
from glioseg.core.old_names import with_current_names
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.file_names import NIFTI_SUFFIX
from glioseg.models.inference.prediction import NUMERIC_COLUMNS
from glioseg.params.contract import CONTRACT, Contract, load_contract

if TYPE_CHECKING:
    from glioseg.models.inference.loading import CachedModel

SUMMARY = "summary.csv"
COLUMNS = (
    "case",
    "status",
    "model",
    *NUMERIC_COLUMNS,
    *(f"dice_{region.lower()}" for region in REGIONS),
    "low_confidence_reasons",
    "calibrated_on",
    "missing",
    "warnings",
    "error",
    "seconds",
    "input_sha256",
)
REQUIRED_COLUMNS = {"case", "status", "input_sha256"}
"""Columns in the summary of every version; an older version may lack the others."""
WORKER_COPY = ".model"
"""Folder in the output folder from which workers load the model; it is removed at the end."""
PREDICTION = ("glioseg.cli.predict_case", "glioseg.models.inference.loading")
"""The modules that segment a case: their code, with everything that they import, determines a prediction."""


@dataclass(frozen=True)
class ModelSource:
    """The model folders of an ensemble and the user's settings for it; nothing is loaded yet.

    `name`: their addresses, with versions in place of aliases; `mirror`, `memory_gb`: the user's settings
    (None: the model's own).
    """

    name: str
    folders: tuple[Path, ...]
    mirror: bool | None
    memory_gb: float | None

    @cached_property
    def contract(self) -> Contract:
        """The contract of the first model."""
        return load_contract(self.folders[0] / CONTRACT)

    @cached_property
    def facts(self) -> dict[str, object]:
        """Everything besides the scans that a prediction depends on."""
        return {
            "models": self._digests,
            "mirror": self.mirror,
            "memory_gb": self.memory_gb,
            "code": code_fingerprint(*PREDICTION),
        }

    @cached_property
    def _digests(self) -> list[str]:
        return [folder_fingerprint(folder) for folder in self.folders]

    @property
    def model(self) -> "CachedModel":
        """The ensemble, loaded when it is first used."""
        from glioseg.models.inference.loading import CachedModel

        return CachedModel(self.folders, repr(self._digests), self.mirror, self.memory_gb)

    @contextmanager
    def copied_for_workers(self, output: Path) -> Iterator["CachedModel"]:
        """Copy the models to the output folder: workers can read it, but may have no access to the registry.

        Args:
            output: the folder of the predictions.
        """
        place = output / WORKER_COPY
        shutil.rmtree(place, ignore_errors=True)
        copies = tuple(place / str(number) for number in range(len(self.folders)))
        try:
            for folder, copy in zip(self.folders, copies, strict=True):
                shutil.copytree(folder, copy)
            yield replace(self.model, folders=copies)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def find_source(models: Sequence[str], *, mirror: bool | None, memory_gb: float | None) -> ModelSource:
    """Find models in the registry or in folders.

    Args:
        models: as for `find_models`.
        mirror: whether to average over mirror images; None: the model's own setting.
        memory_gb: memory budget; None: the model's own.
    """
    addresses, folders = find_models(models)
    return ModelSource(" ".join(addresses), folders, mirror, memory_gb)


@dataclass(frozen=True)
class Summary:
    """The file summary.csv of an output folder, with a row for each case.

    Each change writes a new file and renames it, so a killed command loses no row.
    """

    path: Path

    def finished(self) -> dict[str, str]:
        """The segmented cases, each with its `input_sha256`."""
        return {row["case"]: row["input_sha256"] for row in self._rows() if row["status"] == SEGMENTED}

    def put(self, rows: Sequence[Row]) -> None:
        """Add rows; they replace earlier rows of the same cases."""
        self._write({row["case"]: row for row in (*self._rows(), *rows)})

    def drop(self, cases: Sequence[str]) -> None:
        """Remove the rows of cases."""
        rows, dropped = self._rows(), set(cases)
        kept = {row["case"]: row for row in rows if row["case"] not in dropped}
        if len(kept) < len(rows):
            self._write(kept)

    def _write(self, rows: Mapping[str, Row]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[case] for case in sorted(rows))
        write_atomic(self.path, text.getvalue().encode())

    def _rows(self) -> list[Row]:
        """The rows so far; an unrelated file of the same name is an error and is not overwritten."""
        try:
            reader = csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8"), newline=""))
            rows = [with_current_names(row, old_names.COLUMNS) for row in reader]
            columns = with_current_names(dict.fromkeys(reader.fieldnames or ()), old_names.COLUMNS).keys()
        except FileNotFoundError:
            return []
        except (ValueError, csv.Error) as error:
            raise GliosegError(
                f"{self.path}: expected a summary of `glioseg predict`, got: {error}"
            ) from None
        if not REQUIRED_COLUMNS <= columns <= set(COLUMNS):
            raise GliosegError(
                f"{self.path}: expected a summary of `glioseg predict`, got another table: move it away"
            )
        return rows


@dataclass(frozen=True)
class JobPlan:
    """Where predictions are written: `targets` by case, in `folder`; `summary` only for an output folder.

    `products`: what is written beside each label map.
    """

    targets: Mapping[str, Path]
    folder: Path
    summary: Summary | None
    products: Sequence[Product] = ()

    def files(self, case: Case) -> dict[Product, Path]:
        """The files of a case: the label map, and the products beside it."""
        target = self.targets[case.case]
        suffix = NIFTI_SUFFIX.search(target.name)
        assert suffix  # `plan_job` names a NIfTI file
        stem = target.name[: suffix.start()]
        beside = {
            Product.ENTROPY: target.with_name(f"{stem}_entropy{suffix.group()}"),
            Product.STATISTICS_JSON: target.with_name(f"{stem}_statistics.json"),
            Product.STATISTICS_CSV: target.with_name(f"{stem}_statistics.csv"),
            Product.PREVIEW: target.with_name(f"{stem}_preview.png"),
        }
        return {Product.LABELS: target} | {product: beside[product] for product in self.products}

    def put(self, rows: Sequence[Row]) -> None:
        """Add rows to the summary."""
        if self.summary and rows:
            self.summary.put(rows)

    def drop(self, jobs: Sequence[CaseJob]) -> None:
        """Remove the rows of cases before their files are replaced: a kill then leaves no outdated row."""
        if self.summary:
            self.summary.drop([job.case.case for job in jobs])

    def settings(self, source: ModelSource) -> JobSettings:
        """The settings that all cases share."""
        return JobSettings(source.name, source.contract, source.facts | {"files": sorted(self.products)})

    def unfinished(
        self, cases: Sequence[Case], settings: JobSettings, cluster: Cluster | None
    ) -> list[CaseJob]:
        """The cases that have no prediction from the same files, model, options and code.

        Args:
            cases: all of them.
            settings: of this job.
            cluster: reads the files of cases that may be finished; None: this process does.
        """
        stored = self.summary.finished() if self.summary else {}
        jobs = [CaseJob(case, self.files(case)) for case in cases]
        candidates = [
            job.case
            for job in jobs
            if job.case.case in stored and all(file.is_file() for file in job.files.values())
        ]
        task = partial(input_sha256, facts=settings.facts)
        hashes = cluster.map(task, candidates, title="compare") if cluster else map(task, candidates)
        finished = {
            case.case for case, sha256 in zip(candidates, hashes, strict=True) if sha256 == stored[case.case]
        }
        return [job for job in jobs if job.case.case not in finished]


def plan_job(cases: Sequence[Case], output: Path, products: Sequence[Product] = ()) -> JobPlan:
    """Choose the files to write.

    Args:
        cases: all of them, finished or not.
        output: a .nii or .nii.gz file, or a folder.
        products: what to write beside each label map.

    Raises:
        GliosegError: a single file for several cases.
    """
    if not NIFTI_SUFFIX.search(output.name):
        targets = {case.case: output / f"{case.case}.nii.gz" for case in cases}
        return JobPlan(targets, output, Summary(output / SUMMARY), products)
    if len(cases) > 1:
        raise GliosegError(f"{output}: expected a folder for {len(cases)} cases, got a file name")
    return JobPlan({cases[0].case: output}, output.parent, None, products)
