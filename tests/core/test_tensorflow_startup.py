"""The environment variables of TensorFlow are set before its import, and its start-up messages are hidden."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import glioseg
from glioseg.core.cpus import usable_cores
from glioseg.core.tensorflow_startup import TENSORFLOW_VARIABLES

PACKAGE = Path(glioseg.__file__).parent
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def environment_after(statement, **given):
    """Environment variables after a statement in a new process; of TensorFlow's, it starts with `given`."""
    environment = {name: value for name, value in os.environ.items() if name not in TENSORFLOW_VARIABLES}
    code = f"{statement}; import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | given, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_onednn_is_on_and_threads_equal_cores():
    found = environment_after("import glioseg.models")
    assert found[ONEDNN] == "1"
    assert {found[name] for name in TENSORFLOW_VARIABLES if "THREADS" in name} == {str(usable_cores())}


def test_a_user_s_setting_is_unchanged():
    given = {ONEDNN: "0", "TF_NUM_INTRAOP_THREADS": "3"}
    assert environment_after("import glioseg.models", **given).items() >= given.items()


def test_tensorflow_is_configured_before_its_import():
    """Only modules of `glioseg.models` import TensorFlow, and Python runs that package's `__init__` first."""
    importers = {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        if imports(file) & {"keras", "tensorflow"}
    }
    assert importers == {"models"}


def test_tensorflow_does_not_import_jax_and_jax_works_afterwards():
    """Importing JAX would add a second to each start."""
    code = "import glioseg.models, keras, sys; print('jax' in sys.modules)"
    code += "; import jax; print(jax.numpy.ones(2).sum())"
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "2.0"]


@pytest.mark.parametrize("level", [{}, {"TF_CPP_MIN_LOG_LEVEL": "0"}])
def test_the_start_of_tensorflow_prints_nothing(level):
    """Its first operation looks for devices. Without glioseg, the import prints several lines at level 0."""
    code = "import glioseg.models, keras, tensorflow; keras.ops.ones(1)"
    environment = {name: value for name, value in os.environ.items() if name not in TENSORFLOW_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | level, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


STAND_IN = r"""
import os, sys
os.write(2, b"I0000 00:00:1796022074.904125    8850 port.cc:153] oneDNN custom operations are on.\n")
print("a warning that matters", file=sys.stderr, flush=True)
os.write(2, b"E0000 00:00:1796022074.904125    8850 x.cc:1] so does an error\n")
raise ImportError("a wheel for another processor")
"""


def test_other_messages_during_the_import_are_printed(tmp_path):
    (tmp_path / "tensorflow.py").write_text(STAND_IN)
    code = "import glioseg.models, tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True
    )
    first, second, *_, last = done.stderr.decode().splitlines()
    assert (first, second[:5]) == ("a warning that matters", "E0000")
    assert last == "ImportError: a wheel for another processor"
    assert b"oneDNN custom" not in done.stderr


def imports(file):
    """Packages that a module imports, except for type checkers."""
    return set(packages(ast.parse(file.read_text())))


def packages(node):
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield (node.module or "").partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from packages(child)


@pytest.mark.skipif(
    "TF_ENABLE_ONEDNN_OPTS" in os.environ and os.environ[ONEDNN] == "0", reason="disabled by the user"
)
def test_tensorflow_uses_onednn():
    """Reported by TensorFlow with the settings of this process."""
    from tensorflow.python.util import _pywrap_util_port

    assert _pywrap_util_port.IsMklEnabled()


KERAS = """
import glioseg.models, keras
c = keras.config
print(c.backend(), c.image_data_format(), c.floatx(), c.epsilon(), c.max_epochs(), c.max_steps_per_epoch())
"""
DEFAULTS = "tensorflow channels_last float32 1e-07 None None\n"


@pytest.mark.parametrize(
    ("written", "variables", "warning"),
    [
        ({"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}, {}, ""),
        ({"backend": "torch"}, {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}, ""),
        (
            {},
            {"KERAS_BACKEND": "torch"},
            "KERAS_BACKEND: expected tensorflow or jax, got torch: tensorflow is used\n",
        ),
    ],
)
def test_the_user_s_settings_of_keras_have_no_say(tmp_path, written, variables, warning):
    file = tmp_path / ".keras" / "keras.json"
    file.parent.mkdir()
    file.write_text(json.dumps(written))
    given = {"HOME": str(tmp_path), "KERAS_HOME": str(file.parent), **variables}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")} | given
    done = subprocess.run([sys.executable, "-c", KERAS], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (DEFAULTS, warning)
    assert json.loads(file.read_text()) == written
