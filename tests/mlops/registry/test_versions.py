"""Aliases that move by hand: versions of one small file each, which nobody judged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from glioseg.cli import app
from glioseg.mlops.tracking.model_uri import RegistryError
from glioseg.mlops.tracking.storage import alone

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shelf(shop):
    """Three versions; the gate made 1 and then 3 champion, and 2 is the challenger."""
    shop.client.create_registered_model(shop.name)
    for _ in range(3):
        shop.client.create_model_version(shop.name, source=shop.folder.as_uri())
    shop.versions.crown("1", instead_of=None, how="by the gate")
    shop.versions.challenge("2")
    shop.versions.crown("3", instead_of="1", how="by the gate")
    return shop


def test_rolling_back_goes_to_the_champion_before(shelf):
    assert shelf.aliases == {"champion": 3, "previous": 1, "challenger": 2}
    assert shelf.versions.roll_back() == f"{shelf.name}: version 1 is the champion, version 3 is previous"
    assert shelf.aliases == {"champion": 1, "previous": 3, "challenger": 2}
    assert shelf.tags(3)["champion_until"].endswith("UTC, by hand: version 1 took its place")
    assert shelf.tags(1)["champion_since"].endswith("UTC, by hand")
    assert "champion_until" not in shelf.tags(1)


def test_rolling_back_twice_undoes_it(shelf):
    shelf.versions.roll_back()
    shelf.versions.roll_back()
    assert shelf.aliases == {"champion": 3, "previous": 1, "challenger": 2}
    assert "champion_until" not in shelf.tags(3)


def test_any_version_can_be_named(shelf):
    assert shelf.versions.roll_back("2") == f"{shelf.name}: version 2 is the champion, version 3 is previous"
    assert shelf.aliases == {"champion": 2, "previous": 3}  # a champion is no challenger


def test_a_model_without_champion_gets_one(shelf):
    shelf.client.delete_registered_model_alias(shelf.name, "champion")
    assert shelf.versions.roll_back() == f"{shelf.name}: version 1 is the champion"
    assert shelf.aliases == {"champion": 1, "challenger": 2}


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("7", r"expected one of the versions \[1, 2, 3\] of unet-.*, got 7"),
        ("3", "version 3 of unet-.* is the champion; name another with --to"),
        (None, r"no version of unet-.* was champion before; name one of \[1, 2, 3\] with --to"),
    ],
)
def test_there_must_be_a_version_to_go_to(shelf, to, message):
    shelf.client.delete_registered_model_alias(shelf.name, "previous")
    before = shelf.aliases
    with pytest.raises(RegistryError, match=message):
        shelf.versions.roll_back(to)
    assert shelf.aliases == before


def test_a_deleted_version_is_not_gone_back_to(shelf):
    shelf.client.delete_model_version(shelf.name, "1")
    with pytest.raises(RegistryError, match=r"was champion before; name one of \[2, 3\] with"):
        shelf.versions.roll_back()


def test_a_model_that_is_not_registered_is_named(shop):
    with pytest.raises(RegistryError, match=f"expected a registered model {shop.name}, found none"):
        shop.versions.roll_back()


def write_params(shop):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["register"]["name"] = shop.name
    Path("params.yaml").write_text(yaml.safe_dump(params))


def command(shop, *words):
    """`glioseg rollback` in a project whose model has this name."""
    write_params(shop)
    return CliRunner().invoke(app, ["rollback", *words])


def test_the_command_says_in_one_line_what_it_did(shelf):
    result = command(shelf)
    assert result.exit_code == 0
    assert result.stdout == f"{shelf.name}: version 1 is the champion, version 3 is previous\n"
    assert command(shelf, "--to", "2").exit_code == 0
    assert shelf.aliases == {"champion": 2, "previous": 1}


def test_the_command_says_what_is_wrong(shop):
    result = command(shop)
    assert result.exit_code == 1
    expected = f"expected a registered model {shop.name}, found none of this name"
    assert result.stdout == f"glioseg rollback: {expected}\n"
    assert command(shop, "--to", "0").exit_code == 2


def test_the_help_says_which_servers_follow_by_themselves():
    said = " ".join(CliRunner().invoke(app, ["rollback", "--help"]).stdout.replace("│", " ").split())
    assert "glioseg serve` follows by itself; only MLflow's own server must be started again" in said


def test_it_waits_for_a_version_that_is_being_registered(shelf):
    write_params(shelf)
    with alone(shelf.lab.lock("registry")):
        words = [sys.executable, "-c", "from glioseg.cli import app; app()", "rollback"]
        waiting = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
        )
        assert waiting.stdout.readline() == "rollback: another process is registering a version\n"
        assert shelf.aliases["champion"] == 3
    out, _ = waiting.communicate()
    assert out == f"{shelf.name}: version 1 is the champion, version 3 is previous\n"
    assert shelf.aliases["champion"] == 1
