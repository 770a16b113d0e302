"""Fingerprints change with the code, libraries and files that affect a result, and with nothing else."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from glioseg.cli.predict_job import PREDICTION
from glioseg.core import fingerprint
from glioseg.core.fingerprint import (
    LIBRARIES,
    PACKAGE,
    SourceCode,
    code_fingerprint,
    files_fingerprint,
    folder_fingerprint,
    installed_package,
    installed_version,
)
from glioseg.mlops.tracking.run_tags import TRAINING

COPIED = ("glioseg.data.cohort.ingest",)
MEASURED = ("glioseg.data.quality.volume_statistics",)
STORED = ("glioseg.data.store.cropped_store",)
MEASURED_CROPS = ("glioseg.data.quality.crop_validation",)
TRIAL = ("glioseg.mlops.tuning.objective",)
SCOPES = [COPIED, MEASURED, STORED, MEASURED_CROPS, (TRAINING,), TRIAL, PREDICTION]
NO_EFFECT = {
    *("botocore", "filelock", "fsspec", "s3fs", "sqlalchemy"),  # storage of studies
    *("PIL", "plotly", "rich"),  # pictures, charts and progress
    *("jaxtyping", "pydantic", "ruamel", "yaml"),  # types and settings
    "threadpoolctl",  # number of threads
}
"""Packages that the code of these results imports, but that do not affect them."""


@pytest.fixture(scope="module")
def code():
    return SourceCode.read(PACKAGE)


@pytest.fixture
def package(tmp_path):
    """A copy of the package to edit."""
    return shutil.copytree(PACKAGE, tmp_path / "src" / "glioseg", ignore=shutil.ignore_patterns("model"))


def edited(code, file):
    return SourceCode(code.sources | {file: code.sources[file] + b"\n# edited\n"})


@pytest.mark.parametrize(
    ("modules", "file", "matters"),
    [
        (MEASURED, "core/labels.py", True),
        (MEASURED, "core/geometry.py", True),
        (MEASURED, "data/quality/volume_statistics.py", True),
        (MEASURED, "core/nifti.py", True),
        (MEASURED, "data/phantom/tumour.py", False),
        (MEASURED, "models/networks/unet.py", False),
        (MEASURED, "mlops/tracking/git_dvc.py", False),
        (MEASURED, "serving/app.py", False),
        (MEASURED, "cli/predict.py", False),
        (MEASURED, "compute/dask.py", False),
        (COPIED, "data/phantom/tumour.py", True),
        (STORED, "data/store/cropping.py", True),
        (MEASURED_CROPS, "data/store/cropping.py", True),
        *(((TRAINING,), file, True) for file in ("core/labels.py", "core/geometry.py", "params/sections.py")),
        *(
            ((TRAINING,), file, True)
            for file in ("models/networks/unet.py", "models/training/augmentation/spatial.py")
        ),
        *(
            ((TRAINING,), file, False)
            for file in ("data/quality/raw_expectations.py", "evaluation/overlap.py", "cli/predict.py")
        ),
        *(
            (TRIAL, file, True)
            for file in ("core/labels.py", "core/geometry.py", "params/study.py", "models/training/losses.py")
        ),
        (TRIAL, "mlops/tuning/study.py", True),
        (TRIAL, "serving/app.py", False),
        *(
            (PREDICTION, file, True)
            for file in ("core/labels.py", "core/geometry.py", "data/quality/raw_expectations.py")
        ),
        *((PREDICTION, file, True) for file in ("models/inference/postprocess.py", "cli/predict_case.py")),
        *(
            (PREDICTION, file, False)
            for file in ("cli/registry.py", "serving/app.py", "mlops/tracking/mlflow_runs.py")
        ),
    ],
)
def test_an_edit_changes_the_fingerprint_of_code_that_imports_the_file(code, modules, file, matters):
    before, after = code.reachable_from(*modules).source, edited(code, file).reachable_from(*modules).source
    assert (before != after) == matters


@pytest.mark.parametrize("modules", SCOPES)
def test_all_imported_modules_are_covered(code, modules):
    """The oracle is the standard library's `modulefinder`, which reads bytecode."""
    others = {f"glioseg.cli.{file.stem}" for file in PACKAGE.glob("cli/*.py")} - {"glioseg.cli.predict_case"}
    if modules == PREDICTION:
        others.add("glioseg.core.extras")  # only the list of commands imports it, which does not count
    finder = ModuleFinder(path=[str(PACKAGE.parent)], excludes=["glioseg.compute", *others])
    for module in modules:
        finder.import_hook(module)
    files = [Path(module.__file__) for module in finder.modules.values() if module.__file__]
    expected = {file.relative_to(PACKAGE).as_posix() for file in files} - {"cli/__init__.py"}
    assert code.reachable_from(*modules).sources.keys() == expected


@pytest.mark.parametrize("modules", SCOPES)
def test_libraries_are_all_that_affect_a_result(code, modules):
    imported = {
        name.partition(".")[0]
        for source in code.reachable_from(*modules).sources.values()
        for node in ast.walk(ast.parse(source))
        for name in names_of(node)
    }
    third = imported - sys.stdlib_module_names - {"glioseg"} - NO_EFFECT
    expected = {f"{LIBRARIES[name]}=={installed_version(name)}" for name in third}
    assert set(code.reachable_from(*modules).libraries.split()) == expected


def names_of(node):
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_a_package_is_named_for_all_that_is_in_it(code):
    nets = {file for file in code.sources if file.startswith("nets/")}
    assert code.reachable_from("glioseg.models").sources.keys() > nets
    with pytest.raises(ValueError, match=r"^glioseg\.net: expected a module of glioseg, found none$"):
        code.reachable_from("glioseg.net")


def test_without_modules_all_files_count(code):
    assert code.sources.keys() == {file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py")}
    assert code_fingerprint() != code_fingerprint("glioseg.data.store.cropped_store")


@pytest.mark.parametrize("library", ["numpy", "tensorflow"])
def test_another_version_of_a_library_changes_the_fingerprint_of_code_that_imports_it(monkeypatch, library):
    scopes = [MEASURED, (TRAINING,)]
    before = [code_fingerprint.__wrapped__(*modules) for modules in scopes]
    changes = installed_package(library)
    monkeypatch.setattr(fingerprint, "version", lambda name: "0" if name == changes else version(name))
    after = [code_fingerprint.__wrapped__(*modules) for modules in scopes]
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == {"numpy": [True, True], "tensorflow": [False, True]}[library]


def test_tensorflow_has_one_version_whichever_of_its_packages_is_installed(monkeypatch):
    def only(name, installed):
        if name != installed:
            raise PackageNotFoundError
        return "2.21.0"

    for package in ("tensorflow", "tensorflow-cpu"):
        monkeypatch.setattr(fingerprint, "version", partial(only, installed=package))
        assert installed_package("tensorflow") == package
        assert SourceCode({"a.py": b"import tensorflow"}).libraries == "tensorflow==2.21.0"
    monkeypatch.setattr(fingerprint, "version", partial(only, installed="keras"))
    assert installed_package("tensorflow") is None


def test_a_library_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "jax", "no-such-library")
    assert SourceCode({"a.py": b"def f():\n    import jax.numpy"}).libraries == "no-such-library==none"


def test_source_is_paths_and_contents_in_order():
    """SHA-256 of "abc": FIPS 180-2, appendix B.1; the list is written as Python writes it."""
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    listed = f"[('a/b.py', '{abc}'), ('b.py', '{abc}')]"
    for sources in ({"a/b.py": b"abc", "b.py": b"abc"}, {"b.py": b"abc", "a/b.py": b"abc"}):
        assert SourceCode(sources).source == hashlib.sha256(listed.encode()).hexdigest()


def test_a_moved_file_changes_the_hash_and_bytecode_does_not(package):
    before = SourceCode.read(package).source
    bytecode = package / "data" / "__pycache__"
    bytecode.mkdir(exist_ok=True)
    (bytecode / "store.cpython-399.pyc").write_bytes(b"x")
    (package / "data" / ".#store.py").symlink_to("nowhere")  # as Emacs locks a file
    assert SourceCode.read(package).source == before
    (package / "core" / "brain.py").rename(package / "brain.py")
    moved = SourceCode.read(package).source
    assert moved != before
    (package / "brain.py").rename(package / "mask.py")
    assert SourceCode.read(package).source not in (moved, before)


def test_files_count_with_their_paths_in_any_order(tmp_path):
    one, two = tmp_path / "a" / "x", tmp_path / "b" / "x"
    for file, content in ((one, "1"), (two, "2")):
        file.parent.mkdir()
        file.write_text(content)
    before = files_fingerprint([one, two], folder=tmp_path)
    assert files_fingerprint([two, one], folder=tmp_path) == before == folder_fingerprint(tmp_path)
    one.write_text("2")
    two.write_text("1")  # the contents are swapped: same names, same contents
    swapped = folder_fingerprint(tmp_path)
    assert swapped != before
    two.rename(tmp_path / "b" / "y")
    assert folder_fingerprint(tmp_path) not in (swapped, before)


def test_the_fingerprint_of_a_folder_does_not_depend_on_its_path(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x").write_text("1")
    assert folder_fingerprint(tmp_path / "one") == folder_fingerprint(tmp_path / "two")


def test_code_counts_as_it_was_at_the_first_call(package):
    """A process does not reload code: results of old code must not get the fingerprint of new code."""
    program = """
import sys
from pathlib import Path
from glioseg.core import fingerprint
code = Path(fingerprint.PACKAGE)
before = fingerprint.code_fingerprint("glioseg.data.quality.volume_statistics")
for name in ("core/labels.py", "models/networks/unet.py"):
    with (code / name).open("a") as file:
        file.write("# edited")
fresh = fingerprint.SourceCode.read(code).reachable_from("glioseg.data.quality.volume_statistics")
running = fingerprint._running_code().reachable_from("glioseg.data.quality.volume_statistics")
assert fresh.source != running.source
assert fingerprint.code_fingerprint("glioseg.data.quality.volume_statistics") == before
print(fingerprint.code_fingerprint("glioseg.models.training.cross_validation"))
"""
    unedited = code_fingerprint("glioseg.models.training.cross_validation")
    assert run(package, program).strip() == unedited
    assert run(package, program).strip() != unedited


def run(package, program):
    """The output of a program that imports the copy of the package."""
    env = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


KEYS = """
import json
from pathlib import Path
from glioseg.cli.predict_job import ModelSource
from glioseg.mlops.tracking.run_tags import training_key
from glioseg.mlops.tuning.objective import ShortTraining
from glioseg.params import load_params
trial = ShortTraining(load_params(Path("params.yaml")), [], [])
source = ModelSource("none", (), mirror=False, memory_gb=None)
print(json.dumps([training_key({}, []), trial.fixed["code"], source.facts["code"]]))
"""


def test_an_edit_changes_the_keys_of_trainings_trials_and_predictions(package):
    before = json.loads(run(package, KEYS))
    for file, matters in (
        ("core/labels.py", [True, True, True]),
        ("data/quality/raw_expectations.py", [False, False, True]),
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
from glioseg.data.cohort.case_cache import map_cached

def work(item, folder):
    return item

def keys(name):
    made = map_cached(
        work, [1, 2], code="glioseg.data.quality.volume_statistics", key=lambda item: item,
        inputs=lambda _: (), folder=Path(sys.argv[1]) / name, title="count", cluster=Cluster("threads"),
    )
    return tuple(record.folder.name for record in made)

others = (
    "glioseg.data.quality.gx_validation",
    "glioseg.data.phantom",
    "glioseg.evaluation.overlap",
    "glioseg.mlops.tracking.git_dvc",
)
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


def test_cache_keys_do_not_change_while_threads_import_modules(tmp_path):
    """Stage `validate` imports Great Expectations in a thread during its work."""
    done = subprocess.run(
        [sys.executable, "-c", RECORDS, tmp_path], capture_output=True, text=True, check=True
    )
    assert len(json.loads(done.stdout.splitlines()[-1])) == 1
