"""dvc.yaml is true: each stage depends on the packages that it really imports, and on the params it reads."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PACKAGE = ROOT / "src/glioseg"
WINGS_OF_PACKAGES = {"data", "models", "mlops"}
"""Parts of glioseg of which dvc.yaml names the packages; of the others it names the whole."""


def file_of(module: str) -> Path | None:
    """The file of a module of this repository, or None."""
    for folder, name in ((ROOT / "src", module), (ROOT / "pipelines", module)):
        path = folder.joinpath(*name.split("."))
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def imports_of(file: Path) -> set[Path]:
    """Files of this repository that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {path for name in names if (path := file_of(name))}
    return found


def closure(file: Path) -> set[Path]:
    """A file and all that it imports, directly or not, without packages that hold a docstring only."""
    todo, seen = [file], set()
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo += imports_of(here)
    return {path for path in seen if path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 1}


def package_of(file: Path) -> Path:
    """The package of a module of glioseg, as dvc.yaml names it; a stage's own script is named itself."""
    if not file.is_relative_to(PACKAGE):
        return file
    wing, *inside = file.relative_to(PACKAGE).parts
    return PACKAGE / wing / inside[0] if wing in WINGS_OF_PACKAGES else PACKAGE / wing


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_packages_that_the_stage_imports(stage):
    script = ROOT / STAGES[stage]["cmd"].split()[1]
    # `models` and `mlops` only configure TensorFlow and MLflow there, and `glioseg` names the Python API.
    without_effect = {PACKAGE / folder / "__init__.py" for folder in ("models", "mlops", "")}
    used = {str(package_of(file).relative_to(ROOT)) for file in closure(script) - without_effect}
    named = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "pipelines/"))}
    assert named == used, f"{stage}: missing {sorted(used - named)}, not needed {sorted(named - used)}"


def test_the_code_of_augmentation_is_a_dep_of_train_and_not_of_crop():
    augmentation = "src/glioseg/models/training"
    assert augmentation in STAGES["train"]["deps"]
    assert augmentation not in STAGES["crop"]["deps"] + STAGES["validate_cropped"]["deps"]


def test_the_whole_graph_is_read_in_two_screens():
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 220


@pytest.mark.parametrize("stage", STAGES)
def test_deps_that_no_stage_makes_are_in_the_repository(stage):
    outs = [out for each in STAGES.values() for out in [*each.get("outs", ()), *each.get("metrics", ())]]
    made = [out if isinstance(out, str) else next(iter(out)) for out in outs]
    outside = [dep for dep in STAGES[stage]["deps"] if not any(Path(dep).is_relative_to(out) for out in made)]
    assert [dep for dep in outside if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("script", sorted({stage["cmd"].split()[1] for stage in STAGES.values()}))
def test_params_are_the_sections_that_the_script_reads(script):
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    read = {
        node.attr.rstrip("_")
        for node in ast.walk(ast.parse((ROOT / script).read_text()))
        if isinstance(node, ast.Attribute) and node.attr.rstrip("_") in sections
    }
    stages = [stage for stage in STAGES.values() if stage["cmd"].split()[1] == script]
    named = {name.partition(".")[0] for stage in stages for name in stage["params"] if isinstance(name, str)}
    assert named >= read  # a stage may name one setting of a section
    contract = {"contract.yaml": None} in [name for stage in stages for name in stage["params"]]
    assert contract == ("CONTRACT" in (ROOT / script).read_text())
