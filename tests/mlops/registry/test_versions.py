"""Aliases that a person moves with `glioseg rollback`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from glioseg.cli import app
from glioseg.mlops.registry.candidate import already_registered
from glioseg.mlops.tracking.model_uri import RegistryError, champion_version
from glioseg.mlops.tracking.process_locks import exclusive_lock

ROOT = Path(__file__).parents[3]


@pytest.fixture
def three_versions(registry):
    """Three versions: the gate made 1 and then 3 champion, and 2 is the challenger."""
    registry.client.create_registered_model(registry.name)
    for _ in range(3):
        registry.client.create_model_version(registry.name, source=registry.folder.as_uri())
    registry.versions.set_champion("1", replaces=None, cause="by the gate")
    registry.versions.set_challenger("2")
    registry.versions.set_champion("3", replaces="1", cause="by the gate")
    return registry


def test_a_rollback_returns_to_the_previous_champion(three_versions):
    assert three_versions.aliases == {"champion": 3, "previous": 1, "challenger": 2}
    assert (
        three_versions.versions.roll_back()
        == f"{three_versions.name}: version 1 is the champion, version 3 is previous"
    )
    assert three_versions.aliases == {"champion": 1, "previous": 3, "challenger": 2}
    assert three_versions.tags(3)["champion_until"].endswith("UTC, by hand: version 1 took its place")
    assert three_versions.tags(1)["champion_since"].endswith("UTC, by hand")
    assert "champion_until" not in three_versions.tags(1)


def test_a_second_rollback_undoes_the_first(three_versions):
    three_versions.versions.roll_back()
    three_versions.versions.roll_back()
    assert three_versions.aliases == {"champion": 3, "previous": 1, "challenger": 2}
    assert "champion_until" not in three_versions.tags(3)


def test_any_version_can_be_named(three_versions):
    assert (
        three_versions.versions.roll_back("2")
        == f"{three_versions.name}: version 2 is the champion, version 3 is previous"
    )
    assert three_versions.aliases == {"champion": 2, "previous": 3}  # a champion is not a challenger


def test_a_model_without_champion_gets_one(three_versions):
    three_versions.client.delete_registered_model_alias(three_versions.name, "champion")
    assert three_versions.versions.roll_back() == f"{three_versions.name}: version 1 is the champion"
    assert three_versions.aliases == {"champion": 1, "challenger": 2}


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("7", r"expected one of the versions \[1, 2, 3\] of unet-.*, got 7"),
        ("3", "version 3 of unet-.* is the champion; name another with --to"),
        (None, r"no version of unet-.* was champion before; name one of \[1, 2, 3\] with --to"),
    ],
)
def test_a_rollback_needs_another_version(three_versions, to, message):
    three_versions.client.delete_registered_model_alias(three_versions.name, "previous")
    before = three_versions.aliases
    with pytest.raises(RegistryError, match=message):
        three_versions.versions.roll_back(to)
    assert three_versions.aliases == before


def test_a_deleted_version_cannot_become_champion(three_versions):
    three_versions.client.delete_model_version(three_versions.name, "1")
    with pytest.raises(RegistryError, match=r"was champion before; name one of \[2, 3\] with"):
        three_versions.versions.roll_back()


def test_an_unknown_model_is_an_error_that_names_it(registry):
    with pytest.raises(RegistryError, match=f"expected a registered model {registry.name}, found none"):
        registry.versions.roll_back()


def write_params(registry):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["register"]["name"] = registry.name
    Path("params.yaml").write_text(yaml.safe_dump(params))


def command(registry, *words):
    """`glioseg rollback` in a project whose model has this name."""
    write_params(registry)
    return CliRunner().invoke(app, ["rollback", *words])


def test_the_command_prints_the_result_in_one_line(three_versions):
    result = command(three_versions)
    assert result.exit_code == 0
    assert result.stdout == f"{three_versions.name}: version 1 is the champion, version 3 is previous\n"
    assert command(three_versions, "--to", "2").exit_code == 0
    assert three_versions.aliases == {"champion": 2, "previous": 1}


def test_the_command_that_register_names_sets_an_alias_that_was_removed(three_versions):
    """Register does not set it: a person may have removed it in order to take the version out of service."""
    three_versions.client.delete_registered_model_alias(three_versions.name, "champion")
    database = three_versions.storage.database
    assert champion_version(database, name=three_versions.name) is None
    (way_out,) = re.findall(r"`glioseg rollback (.*)`", already_registered(3, None))
    assert (
        command(three_versions, *way_out.split()).stdout
        == f"{three_versions.name}: version 3 is the champion\n"
    )
    assert three_versions.aliases == {"champion": 3, "previous": 1, "challenger": 2}


def test_the_command_prints_errors_in_one_line(registry):
    result = command(registry)
    assert result.exit_code == 1
    expected = f"expected a registered model {registry.name}, found none of this name"
    assert result.stdout == f"glioseg rollback: {expected}\n"
    assert command(registry, "--to", "0").exit_code == 2


def test_the_help_says_which_servers_follow_by_themselves():
    said = " ".join(CliRunner().invoke(app, ["rollback", "--help"]).stdout.replace("│", " ").split())
    assert "glioseg serve loads the new champion by itself; MLflow's own server must be restarted" in said


def test_the_command_waits_for_another_process_that_registers_a_version(three_versions):
    write_params(three_versions)
    with exclusive_lock(three_versions.storage.lock_file("registry")):
        words = [sys.executable, "-c", "from glioseg.cli import app; app()", "rollback"]
        waiting = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
        )
        assert waiting.stdout.readline() == "rollback: another process is registering a version\n"
        assert three_versions.aliases["champion"] == 3
    out, _ = waiting.communicate()
    assert out == f"{three_versions.name}: version 1 is the champion, version 3 is previous\n"
    assert three_versions.aliases["champion"] == 1
