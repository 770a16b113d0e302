import ast
import subprocess
import sys
from pathlib import Path

import pytest

import glioseg
from tests.helpers.extras import WITHOUT_EXTRAS


def test_importing_glioseg_loads_no_library():
    libraries = {"numpy", "tensorflow", "nibabel"}
    code = f"import glioseg, sys; print(sorted({libraries} & sys.modules.keys()), dir(glioseg))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("[] ")
    assert "'segment'" in printed


def test_a_name_that_the_api_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segmentation_of'"):
        _ = glioseg.segmentation_of


def test_editors_and_the_program_know_the_same_names():
    stub = ast.parse(Path(glioseg.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname: node.module for node in imports for alias in node.names} == glioseg._HOMES
    assert glioseg.__all__ == list(glioseg._HOMES)
    assert all(getattr(glioseg, name).__module__ == home for name, home in glioseg._HOMES.items())


WORK = """
import numpy as np
import glioseg
affine = np.diag([-1.0, -1, 1, 1])
image = np.zeros((60, 60, 60), np.float32)
image[10:50, 10:50, 10:50] = np.random.default_rng(0).normal(100, 10, (40, 40, 40))
image[25:35, 25:35, 25:35] += 60
result = glioseg.segment(images={"flair": (image, affine)}, model="builtin", mirror=False)
result.save("seg.nii.gz")
scores = glioseg.evaluate("seg.nii.gz", "seg.nii.gz")
print(result.plot().mode, result.statistics()["model"], scores["mean_dice"])
"""


def test_the_api_works_without_any_extra(tmp_path):
    """Segmenting with the built-in model, the picture and the metrics, as after `pip install glioseg`."""
    words = [sys.executable, "-W", "error::UserWarning", "-c", WITHOUT_EXTRAS + WORK]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("RGB builtin 1.0\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["seg.nii.gz"]  # no mlruns
