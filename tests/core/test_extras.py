"""Each package that the code imports is installed always or by an extra, and a missing one is named."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from glioseg.core.errors import GliosegError
from glioseg.core.extras import EXTRAS, MissingPackageError, missing_package, optional_imports

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = {
    "PIL": "pillow",
    "botocore": "boto3",  # boto3 and s3fs are front ends of botocore
    "distributed": "dask",
    "dask_jobqueue": "dask-jobqueue",
    "great_expectations": "great-expectations",
    "optuna_dashboard": "optuna-dashboard",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
    "ruamel": "ruamel-yaml",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "yaml": "pyyaml",
}
"""Packages in pyproject.toml by module, where the names differ or a package brings another one."""
JAX = "jax"  # Keras' other backend: not an extra, since its GPU packages depend on the machine


def packages(requirements):
    """Names of packages; a requirement of an extra of glioseg stands for what that extra installs."""
    found = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "glioseg":
            for extra in requirement.extras:
                found |= packages(PROJECT["optional-dependencies"][extra])
        else:
            found.add(requirement.name)
    return found


def imported(file):
    """Top-level modules that a file imports, also inside functions; type checkers' imports count too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_each_imported_package_is_installed_always_or_by_an_extra():
    modules = {name for file in (ROOT / "src").rglob("*.py") for name in imported(file)}
    third_party = modules - sys.stdlib_module_names - {"glioseg", JAX}
    always = packages(PROJECT["dependencies"])
    optional = {name for name in third_party if PACKAGES.get(name, name) not in always}
    assert optional <= {name for names in EXTRAS.values() for name in names}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_the_packages_of_its_modules(extra):
    found = packages(PROJECT["optional-dependencies"][extra])
    assert {PACKAGES.get(name, name) for name in EXTRAS[extra]} <= found
    assert not found & packages(PROJECT["dependencies"])


def test_all_is_every_extra_that_is_not_for_developers():
    extras = PROJECT["optional-dependencies"]
    (everything,) = map(Requirement, extras["all"])
    assert everything.extras == extras.keys() - {"all", "dev", "docs"}


@pytest.mark.parametrize(
    ("module", "extra", "expected"),
    [
        ("fastapi", None, "serve"),
        ("mlflow.entities", None, "track"),  # both track and train have it: the smaller one is named
        ("mlflow", "train", "train"),
        ("distributed", "train", "cluster"),  # train does not have it
    ],
)
def test_the_extra_of_a_command_is_named_if_it_has_the_package(module, extra, expected):
    name = module.partition(".")[0]
    message = f"needs packages that are not installed ({name}): pip install 'glioseg[{expected}]'"
    assert missing_package(ModuleNotFoundError("x", name=module), extra) == message


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("x", name="glioseg.no_such_module"),
        ImportError("cannot import name", name="mlflow"),  # installed, in a version that does not fit
        ModuleNotFoundError("x"),
        ValueError("bug"),
    ],
)
def test_another_error_is_a_bug(error):
    assert missing_package(error, "train") is None
    with pytest.raises(type(error)) as passed, optional_imports("models:/glioseg/1"):
        raise error
    assert passed.value is error


def test_a_missing_package_is_an_error_that_names_its_user(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # to import it is an error
    message = (
        "models:/glioseg/1: needs packages that are not installed (mlflow): pip install 'glioseg[track]'"
    )
    with pytest.raises(GliosegError, match=f"^{re.escape(message)}$") as caught:  # noqa: SIM117
        with optional_imports("models:/glioseg/1"):
            import mlflow  # noqa: F401
    assert isinstance(caught.value, MissingPackageError)
    assert isinstance(caught.value, ImportError)


def test_the_lock_is_within_the_bounds():
    """Also an upper bound is met, which a new release may pass."""
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text()))
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    bounds = [bound for group in groups for bound in map(Requirement, group) if bound.name != "glioseg"]
    assert [str(bound) for bound in bounds if not bound.specifier.contains(locked[bound.name])] == []


def test_the_lock_installs_one_tensorflow_on_each_platform():
    """The two packages have the same files."""
    text = (ROOT / "requirements.lock").read_text()
    lines = [line.rstrip(" \\") for line in text.splitlines() if re.match(r"tensorflow(-cpu)?==", line)]
    packages = list(map(Requirement, lines))
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")):
        platform = {"sys_platform": system, "platform_machine": machine}
        (found,) = [each.name for each in packages if each.marker.evaluate(platform)]
        assert found == ("tensorflow-cpu" if machine == "x86_64" else "tensorflow")
