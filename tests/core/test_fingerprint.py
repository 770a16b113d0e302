"""Fingerprints change with what decides a result, wherever that lies, and with nothing else."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from glioseg.cli.model_loading import PREDICTION
from glioseg.core import fingerprint
from glioseg.core.fingerprint import (
    LIBRARIES,
    PACKAGE,
    Code,
    code_fingerprint,
    files_fingerprint,
    folder_fingerprint,
)
from glioseg.mlops.tracking.fingerprints import TRAINING

COPIED = ("glioseg.data.cohort.ingest",)
MEASURED = ("glioseg.data.quality.cohort_statistics",)
STORED = ("glioseg.data.store.cropped_store",)
MEASURED_CROPS = ("glioseg.data.quality.store_statistics",)
TRIAL = ("glioseg.mlops.tuning.objective",)
SCOPES = [COPIED, MEASURED, STORED, MEASURED_CROPS, (TRAINING,), TRIAL, PREDICTION]
DECIDE_NOTHING = {
    *("botocore", "fsspec", "s3fs", "sqlalchemy"),  # where studies are kept
    *("plotly", "rich"),  # what is shown
    *("jaxtyping", "pydantic", "ruamel", "yaml"),  # types and settings
    "threadpoolctl",  # how many threads
}
"""Other packages that the code of these results imports."""


@pytest.fixture(scope="module")
def code():
    return Code.read(PACKAGE)


@pytest.fixture
def package(tmp_path):
    """A copy of the package, to be edited."""
    return shutil.copytree(PACKAGE, tmp_path / "src" / "glioseg", ignore=shutil.ignore_patterns("model"))


def edited(code, file):
    return Code(code.sources | {file: code.sources[file] + b"\n# edited\n"})


@pytest.mark.parametrize(
    ("modules", "file", "matters"),
    [
        (MEASURED, "labels.py", True),
        (MEASURED, "geometry.py", True),
        (MEASURED, "data/quality/volume_statistics.py", True),
        (MEASURED, "core/nifti.py", True),
        (MEASURED, "data/phantom/tumour.py", False),
        (MEASURED, "models/networks/unet.py", False),
        (MEASURED, "mlops/tracking/fingerprints.py", False),
        (MEASURED, "serving/app.py", False),
        (MEASURED, "cli/predict.py", False),
        (MEASURED, "compute/dask.py", False),
        (COPIED, "data/phantom/tumour.py", True),
        (STORED, "data/store/cropping.py", True),
        (MEASURED_CROPS, "data/store/cropping.py", True),
        *(((TRAINING,), file, True) for file in ("labels.py", "geometry.py", "params/sections.py")),
        *(
            ((TRAINING,), file, True)
            for file in ("models/networks/unet.py", "models/training/augmentation/elastic.py")
        ),
        *(
            ((TRAINING,), file, False)
            for file in ("data/quality/case_validation.py", "evaluation/overlap.py", "cli/predict.py")
        ),
        *(
            (TRIAL, file, True)
            for file in ("labels.py", "geometry.py", "params/study.py", "models/training/losses.py")
        ),
        (TRIAL, "mlops/tuning/study.py", True),
        (TRIAL, "serving/app.py", False),
        *(
            (PREDICTION, file, True)
            for file in ("labels.py", "geometry.py", "data/quality/case_validation.py")
        ),
        *((PREDICTION, file, True) for file in ("models/inference/postprocess.py", "cli/case_job.py")),
        *(
            (PREDICTION, file, False)
            for file in ("cli/report.py", "serving/app.py", "mlops/tracking/mlflow_runs.py")
        ),
    ],
)
def test_an_edit_counts_where_the_work_can_import_it(code, modules, file, matters):
    before, after = code.used_by(*modules).source, edited(code, file).used_by(*modules).source
    assert (before != after) == matters


@pytest.mark.parametrize("modules", SCOPES)
def test_all_modules_that_the_work_imports_are_covered(code, modules):
    """By the standard library's own account, which reads bytecode; `glioseg.cli` would load every command."""
    others = {f"glioseg.cli.{file.stem}" for file in PACKAGE.glob("cli/*.py")} - {
        "glioseg.cli.case_job",
        "glioseg.cli.summary_csv",
    }
    finder = ModuleFinder(path=[str(PACKAGE.parent)], excludes=["glioseg.compute", *others])
    for module in modules:
        finder.import_hook(module)
    files = [Path(module.__file__) for module in finder.modules.values() if module.__file__]
    expected = {file.relative_to(PACKAGE).as_posix() for file in files} - {"cli/__init__.py"}
    assert code.used_by(*modules).sources.keys() == expected


@pytest.mark.parametrize("modules", SCOPES)
def test_libraries_are_those_that_decide_something(code, modules):
    imported = {
        name.partition(".")[0]
        for source in code.used_by(*modules).sources.values()
        for node in ast.walk(ast.parse(source))
        for name in names_of(node)
    }
    third = imported - sys.stdlib_module_names - {"glioseg"} - DECIDE_NOTHING
    expected = {f"{LIBRARIES[name]}=={version(LIBRARIES[name])}" for name in third}
    assert set(code.used_by(*modules).libraries.split()) == expected


def names_of(node):
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_a_package_is_named_for_all_that_is_in_it(code):
    nets = {file for file in code.sources if file.startswith("nets/")}
    assert code.used_by("glioseg.models").sources.keys() > nets
    with pytest.raises(ValueError, match=r"^glioseg\.net: expected a module of glioseg, found none$"):
        code.used_by("glioseg.net")


def test_without_a_name_every_file_counts(code):
    assert code.sources.keys() == {file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py")}
    assert code_fingerprint() != code_fingerprint("glioseg.data.store.cropped_store")


@pytest.mark.parametrize("library", ["numpy", "tensorflow"])
def test_another_version_of_a_library_counts_where_it_is_used(monkeypatch, library):
    scopes = [MEASURED, (TRAINING,)]
    before = [code_fingerprint.__wrapped__(*modules) for modules in scopes]
    monkeypatch.setattr(fingerprint, "version", lambda name: "0" if name == library else version(name))
    after = [code_fingerprint.__wrapped__(*modules) for modules in scopes]
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == {"numpy": [True, True], "tensorflow": [False, True]}[library]


def test_a_library_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "jax", "no-such-library")
    assert Code({"a.py": b"def f():\n    import jax.numpy"}).libraries == "no-such-library==none"


def test_source_is_paths_and_contents_in_order():
    """SHA-256 of "abc": FIPS 180-2, appendix B.1; the list is written as Python writes it."""
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    listed = f"[('a/b.py', '{abc}'), ('b.py', '{abc}')]"
    for sources in ({"a/b.py": b"abc", "b.py": b"abc"}, {"b.py": b"abc", "a/b.py": b"abc"}):
        assert Code(sources).source == hashlib.sha256(listed.encode()).hexdigest()


def test_a_file_that_moves_counts_and_compiled_ones_do_not(package):
    before = Code.read(package).source
    cached = package / "data" / "__pycache__"
    cached.mkdir(exist_ok=True)
    (cached / "store.cpython-399.pyc").write_bytes(b"x")
    (package / "data" / ".#store.py").symlink_to("nowhere")  # as Emacs locks a file
    assert Code.read(package).source == before
    (package / "data" / "coarse.py").rename(package / "coarse.py")
    moved = Code.read(package).source
    assert moved != before
    (package / "coarse.py").rename(package / "rough.py")
    assert Code.read(package).source not in (moved, before)


def test_files_count_with_where_they_lie_whatever_order_they_come_in(tmp_path):
    one, two = tmp_path / "a" / "x", tmp_path / "b" / "x"
    for file, content in ((one, "1"), (two, "2")):
        file.parent.mkdir()
        file.write_text(content)
    whole = files_fingerprint([one, two], folder=tmp_path)
    assert files_fingerprint([two, one], folder=tmp_path) == whole == folder_fingerprint(tmp_path)
    one.write_text("2")
    two.write_text("1")  # each has the other's content: the same names, the same contents
    swapped = folder_fingerprint(tmp_path)
    assert swapped != whole
    two.rename(tmp_path / "b" / "y")
    assert folder_fingerprint(tmp_path) not in (swapped, whole)


def test_a_folder_counts_the_same_wherever_it_lies(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x").write_text("1")
    assert folder_fingerprint(tmp_path / "one") == folder_fingerprint(tmp_path / "two")


def test_code_counts_as_it_was_when_the_process_first_asked(package):
    """A process does not load code anew: results of the old code do not get the new one's key."""
    says = """
import sys
from pathlib import Path
from glioseg import fingerprint
code = Path(fingerprint.PACKAGE)
before = fingerprint.code_fingerprint("glioseg.data.quality.cohort_statistics")
for name in ("labels.py", "models/networks/unet.py"):
    with (code / name).open("a") as file:
        file.write("# edited")
fresh = fingerprint.Code.read(code).used_by("glioseg.data.quality.cohort_statistics")
assert fresh.source != fingerprint._running().used_by("glioseg.data.quality.cohort_statistics").source
assert fingerprint.code_fingerprint("glioseg.data.quality.cohort_statistics") == before
print(fingerprint.code_fingerprint("glioseg.models.training.cross_validation"))
"""
    unedited = code_fingerprint("glioseg.models.training.cross_validation")
    assert run(package, says).strip() == unedited
    assert run(package, says).strip() != unedited


def run(package, program):
    """What a program prints that uses a copy of the package."""
    env = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


KEYS = """
import json
from pathlib import Path
from glioseg.cli.model_loading import Engine
from glioseg.mlops.tracking.fingerprints import training_key
from glioseg.mlops.tuning.objective import ShortTraining
from glioseg.params import load_params
trial = ShortTraining(load_params(Path("params.yaml")), [], [])
engine = Engine("none", (), mirror=False, memory_gb=None)
print(json.dumps([training_key({}, []), trial.fixed["code"], engine.facts["code"]]))
"""


def test_an_edit_is_another_training_trial_and_prediction(package):
    before = json.loads(run(package, KEYS))
    for file, matters in (
        ("labels.py", [True, True, True]),
        ("data/quality/case_validation.py", [False, False, True]),
    ):
        with (package / file).open("a") as source:
            source.write("\n# edited\n")
        after = json.loads(run(package, KEYS))
        assert [old != new for old, new in zip(before, after, strict=True)] == matters
        before = after


RECORDS = """
import json, sys, threading
from importlib import import_module
from pathlib import Path
from glioseg.compute import Cluster
from glioseg.data.cohort.case_cache import record_cases

def work(item, folder):
    return item

def keys(name):
    made = record_cases(
        work, [1, 2], code="glioseg.data.quality.cohort_statistics", facts=lambda item: item, reads=lambda _: (),
        folder=Path(sys.argv[1]) / name, title="count", cluster=Cluster("threads"),
    )
    return tuple(record.folder.name for record in made)

others = ("glioseg.data.quality.gx_validation", "glioseg.data.phantom", "glioseg.evaluation.overlap", "glioseg.mlops.tracking.fingerprints")
importing = [threading.Thread(target=import_module, args=[name]) for name in others]
found, more = {keys("before")}, 0
for thread in importing:
    thread.start()
while any(thread.is_alive() for thread in importing):
    found.add(keys(f"during {more}"))
    more += 1
found.add(keys("after"))
print(json.dumps(sorted(found)))
"""


def test_records_have_the_same_keys_while_threads_import_modules(tmp_path):
    """As `validate` does: it imports Great Expectations beside its work."""
    done = subprocess.run(
        [sys.executable, "-c", RECORDS, tmp_path], capture_output=True, text=True, check=True
    )
    assert len(json.loads(done.stdout.splitlines()[-1])) == 1
