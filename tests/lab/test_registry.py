import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import glioseg
from glioseg.lab.addresses import Lab
from glioseg.lab.candidate import Evaluation, Source, marks
from glioseg.lab.known import champion_version, known_version
from glioseg.lab.logged_model import log_model
from glioseg.lab.registry import RegistryError, model_folder, register
from glioseg.lab.tracking import connect, experiment_id
from glioseg.params.promotion import Register

ELSEWHERE = "0" * 32


@dataclass(frozen=True)
class Shop:
    """A registered model's name and a folder for its files."""

    lab: Lab
    name: str
    folder: Path


@pytest.fixture
def shop(common_lab, tmp_path):
    return Shop(common_lab, f"unet-{tmp_path.name}", tmp_path)


def source(shop, content):
    """A model whose network is some bytes: nothing loads it here."""
    folder = shop.folder / f"models {content}"
    folder.mkdir(exist_ok=True)
    (folder / "model.keras").write_text(content)
    (folder / "settings.json").write_text("{}")
    return Source([folder / "model.keras", folder / "settings.json"], Path(glioseg.__file__).parent)


def evaluation(shop, content, **dice):
    path = shop.folder / f"{content}.csv"
    rows = [{"case": c, "dice_wt": d, "dice_tc": d, "dice_et": d} for c, d in dice.items()]
    pd.DataFrame(rows).to_csv(path, index=False)
    folder = shop.folder / content
    folder.mkdir(exist_ok=True)
    return Evaluation(path.rename(folder / "per_case.csv"), list(dice))


def not_asked(folder):
    raise AssertionError("the champion's table is there, it need not be scored")


def offer(shop, content, score=not_asked, run_id=ELSEWHERE, margin=0.0, **dice):
    client = connect(shop.lab)
    return register(
        client,
        params=Register(name=shop.name, margin=margin),
        source=source(shop, content),
        run_id=run_id,
        evaluation=evaluation(shop, content, **dice),
        score=score,
    )


def versions(shop):
    return {int(v.version): v for v in connect(shop.lab).search_model_versions(f"name = '{shop.name}'")}


def champion(shop):
    return int(connect(shop.lab).get_model_version_by_alias(shop.name, "champion").version)


def test_registering_again_registers_nothing(shop):
    assert offer(shop, "one", a=0.7) == "version 1 is the champion: the first champion"
    assert offer(shop, "one", a=0.7) == "version 1 is this model already"
    assert list(versions(shop)) == [1]
    assert champion(shop) == 1


def test_a_version_says_how_it_came_to_be(shop):
    offer(shop, "one", a=0.7)
    tags = versions(shop)[1].tags
    assert marks(source(shop, "one"), evaluation(shop, "one", a=0.7)).items() <= tags.items()
    assert {"data_version", "git_commit", "git_dirty", "environment", "trained_run", "verdict"} <= tags.keys()


def test_the_champion_moves_to_a_better_model_and_not_to_a_worse_one(shop):
    offer(shop, "one", a=0.7, b=0.5)
    assert offer(shop, "worse", a=0.7, b=0.4).startswith("version 2 is registered, version 1 stays champion")
    assert champion(shop) == 1
    assert offer(shop, "better", a=0.6, b=0.7).startswith("version 3 is the champion")
    assert champion(shop) == 3
    assert versions(shop)[2].tags["mean_dice_difference"] == "-0.050000"
    assert versions(shop)[3].tags["mean_dice_difference"] == "0.050000"


def test_a_margin_lets_a_slightly_worse_one_pass(shop):
    offer(shop, "one", a=0.7)
    offer(shop, "worse", a=0.69, margin=0.02)
    assert champion(shop) == 2


def test_a_champion_tested_on_other_cases_is_scored_on_these(shop):
    offer(shop, "one", a=0.9)
    asked = []

    def score(folder):
        asked.append((folder / "model.keras").read_text())
        assert json.loads((folder / "settings.json").read_text()) == {}
        return pd.DataFrame([{"case": "b", "dice_wt": 0.5, "dice_tc": 0.5, "dice_et": 0.5}])

    offer(shop, "two", score, b=0.6)
    assert asked == ["one"]
    assert champion(shop) == 2


def test_a_champion_tested_on_other_data_is_scored_anew(shop):
    offer(shop, "one", a=0.9)
    (shop.folder / "dvc.lock").write_text("stages: {crop: {outs: [{path: data/cropped, md5: '1.dir'}]}}")
    with pytest.raises(AssertionError, match="need not be scored"):
        offer(shop, "two", a=0.6)


def test_killed_before_the_verdict_it_goes_on(shop):
    offer(shop, "one", a=0.9)

    def die(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offer(shop, "two", die, b=0.6)
    assert sorted(versions(shop)) == [1, 2]
    table = pd.DataFrame([{"case": "b", "dice_wt": 0.5, "dice_tc": 0.5, "dice_et": 0.5}])
    offer(shop, "two", lambda folder: table, b=0.6)
    assert sorted(versions(shop)) == [1, 2]
    assert champion(shop) == 2


def test_the_trained_model_itself_is_registered(shop):
    client = connect(shop.lab)
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    numbers = {"calibration_error_after_wt": 0.01}
    model_id = log_model(client, source(shop, "one"), run_id=run_id, params={"seed": 1}, metrics=numbers)
    offer(shop, "one", a=0.7, run_id=run_id)
    assert versions(shop)[1].source == f"models:/{model_id}"
    assert versions(shop)[1].run_id == run_id
    model = client.get_logged_model(model_id)
    assert model.params == {"seed": "1"}
    assert {metric.key: metric.value for metric in model.metrics} == numbers


def test_a_model_that_was_not_filled_to_its_end_is_filled_and_not_doubled(shop, monkeypatch):
    client, model = connect(shop.lab), source(shop, "one")
    run_id = client.create_run(experiment_id(client, "train")).info.run_id

    def die(**given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.pyfunc, "log_model", die)
        with pytest.raises(KeyboardInterrupt):
            log_model(client, model, run_id=run_id)
    model_id = log_model(client, model, run_id=run_id)
    assert log_model(client, model, run_id=run_id) == model_id
    assert client.get_logged_model(model_id).status == "READY"
    mine = f"source_run_id = '{run_id}'"
    assert len(client.search_logged_models([experiment_id(client, "train")], mine)) == 1


def test_the_quick_look_agrees_with_the_registry(shop):
    tags = marks(source(shop, "one"), evaluation(shop, "one", a=0.7))
    assert known_version(shop.folder / "none.db", name=shop.name, tags=tags) is None  # no database
    connect(shop.lab)
    assert known_version(shop.lab.database, name=shop.name, tags=tags) is None  # no version
    assert champion_version(shop.lab.database, name=shop.name) is None
    offer(shop, "one", a=0.7)
    offer(shop, "worse", a=0.6)
    assert known_version(shop.lab.database, name=shop.name, tags=tags) == 1
    assert known_version(shop.lab.database, name="other", tags=tags) is None
    assert known_version(shop.lab.database, name=shop.name, tags=tags | {"content_sha256": "x"}) is None
    assert champion_version(shop.lab.database, name=shop.name) == 1
    client = connect(shop.lab)
    client.delete_model_version_tag(shop.name, "1", "verdict")
    assert known_version(shop.lab.database, name=shop.name, tags=tags) is None  # it was interrupted
    client.set_model_version_tag(shop.name, "1", "verdict", "x")
    client.delete_registered_model_alias(shop.name, "champion")
    client.delete_model_version(shop.name, "1")
    assert known_version(shop.lab.database, name=shop.name, tags=tags) is None


def test_the_quick_look_at_another_database_knows_nothing(tmp_path):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (y)")
    assert known_version(tmp_path / "other.db", name=shop.name, tags={}) is None


def test_no_pickle_is_written(shop):
    offer(shop, "one", a=0.7)
    names = [path.name for path in shop.lab.folder.rglob("*")]
    assert "model.keras" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_a_model_folder_is_found_by_its_address(shop):
    offer(shop, "one", a=0.7)
    assert (model_folder(f"models:/{shop.name}@champion") / "model.keras").read_text() == "one"
    assert (model_folder(f"models:/{shop.name}/1") / "settings.json").exists()
    assert model_folder("my/folder") == Path("my/folder")
    with pytest.raises(RegistryError, match=f"models:/{shop.name}@other: not in the registry"):
        model_folder(f"models:/{shop.name}@other")


@pytest.mark.parametrize("changed", ["model.keras", "settings.json"])
def test_a_changed_file_is_another_model(shop, changed):
    model = source(shop, "one")
    before = model.content
    (shop.folder / "models one" / changed).write_text("changed")
    assert model.content != before
