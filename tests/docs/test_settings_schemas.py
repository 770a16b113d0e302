"""The JSON Schemas are up to date, accept the shipped files and presets, and reject what glioseg rejects."""

import copy
import json
import shutil

import pytest
import settings_schemas
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from glioseg.params import load_params
from glioseg.params.contract import Contract
from glioseg.params.presets import apply_preset, load_presets
from tests.helpers.projects import ROOT

SCHEMAS = {
    name: json.loads((ROOT / "docs" / "reference" / f"{name}.schema.json").read_text())
    for name in ("params", "contract")
}


def read(path):
    """YAML 1.2, as editors read it: `off` is text."""
    return YAML(typ="safe", pure=True).load(path.read_text())


def errors(name, content):
    return [error.message for error in Draft202012Validator(SCHEMAS[name]).iter_errors(content)]


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_the_stored_schema_is_that_of_the_models(name):
    stored = (ROOT / "docs" / "reference" / f"{name}.schema.json").read_text()
    assert stored == settings_schemas.schema_text(f"{name}.schema.json"), "run `make docs`"
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_the_shipped_file_is_valid(name):
    assert errors(name, read(ROOT / f"{name}.yaml")) == []


def test_params_yaml_names_its_schema_also_after_every_preset(tmp_path):
    path = shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    first_line = "# yaml-language-server: $schema=docs/reference/params.schema.json"
    for preset in load_presets():
        apply_preset(preset, path)
        assert path.read_text().splitlines()[0] == first_line
        assert errors("params", read(path)) == []
        load_params(path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["train", "epochs"], 0, "0 is less than the minimum of 1"),
        (["train", "epoch"], 3, "Additional properties are not allowed ('epoch' was unexpected)"),
        (["network", "architecture"], "unet", "'unet' is not one of ['seed', 'isensee', 'nnunet']"),
        (["split", "test_fraction"], "a fifth", "'a fifth' is not of type 'number'"),
        (["train", "patch_shape"], [72, 96], "[72, 96] is too short"),
        (["tune", "limits", "memory_gb"], 0, None),
        (["data", "scheme"], {1: "TUMOUR"}, None),
    ],
)
def test_a_wrong_setting_is_rejected(path, value, message):
    content = read(ROOT / "params.yaml")
    section = content
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    found = errors("params", content)
    assert len(found) == 1
    assert message in (None, *found)


@pytest.mark.parametrize("scheme", [None, "brats2023", {1: "ET", 2: "NCR", 3: "NCR", 4: "ED"}])
def test_a_label_scheme_is_a_name_or_a_mapping(scheme):
    content = copy.deepcopy(read(ROOT / "params.yaml"))
    content["data"]["scheme"] = scheme
    assert errors("params", content) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"shape": {"voxels": [155, 240, 240]}, "range": {"severity": "off"}}, None),
        ({"shpae": {"severity": "off"}}, "Additional properties are not allowed ('shpae' was unexpected)"),
        ({"nan": {"severity": "fatal"}}, "'fatal' is not one of ['critical', 'warning', 'info', 'off']"),
        ({"range": {"times": 1}}, "1 is less than or equal to the minimum of 1"),
    ],
)
def test_a_contract_may_be_incomplete_but_not_wrong(content, message):
    assert errors("contract", content) == ([message] if message else [])


def test_each_setting_and_each_rule_has_a_description():
    params = settings_schemas.params_schema()
    nameless = {
        ".".join(path)
        for path, field in settings_schemas.fields(params, params)
        if "description" not in field
    }
    # A section has the docstring of its class, and the regions of the margin have one description.
    margins = {f"register.margin.{name}" for name in ("wt", "tc", "et", "mean")}
    assert nameless - set(params["properties"]) == margins
    rules = settings_schemas.contract_schema()["properties"]
    assert rules.keys() == Contract.model_fields.keys()
    assert [name for name, rule in rules.items() if not rule["description"].endswith(".")] == []
