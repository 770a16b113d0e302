import ast
import subprocess
import sys
from pathlib import Path

import pytest

import glioseg


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
    assert {alias.asname: node.module for node in imports for alias in node.names} == glioseg.HOMES
    assert glioseg.__all__ == list(glioseg.HOMES)
    assert all(getattr(glioseg, name).__module__ == home for name, home in glioseg.HOMES.items())
