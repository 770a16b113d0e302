"""Two machines of a team, which share a database and a bucket and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from glioseg.core.nifti import read_volume
from glioseg.mlops.tracking.storage import ARTIFACTS_URL
from tests.helpers.projects import SHAPE, clone_project, command, write_case
from tests.helpers.s3 import keys_of
from tests.helpers.teams import URL, Team


@pytest.fixture(scope="module")
def elsewhere(team: Team, reproduced: Path) -> Path:
    """Another machine: a clone with a cache of its own, which pulled from the bucket and mounts the scans."""
    home = clone_project(team.home, team.home.with_name("elsewhere"))
    (home / "scans").symlink_to(reproduced.with_name("scans"))
    team.run(home, "dvc", "pull")
    return home


def test_all_files_of_runs_and_models_are_in_the_bucket_and_none_in_the_folder(team):
    keys = keys_of(team.bucket)
    for place in ("tune/", "train/", "train/models/m-", "evaluate/", "dvc/files/md5/"):
        assert any(key.startswith(f"glioseg/{place}") for key in keys), place
    for name in ("model.keras", "lineage.json", "decision.json", "per_case.csv"):
        assert any(key.endswith(f"/{name}") for key in keys), name
    assert not (team.home / "mlruns" / "artifacts").exists()
    assert not list((team.home / "mlruns").glob("*.db"))


def test_another_machine_segments_with_the_team_s_champion(team, elsewhere):
    write_case(elsewhere / "new", 20)
    said = team.run(elsewhere, "glioseg", "predict", "new/Patient 20", "-o", "seg.nii.gz")
    assert said.startswith("Patient 20: seg.nii.gz: ")
    volume = read_volume(elsewhere / "seg.nii.gz")
    assert volume.grid.shape == SHAPE
    assert set(np.unique(volume.data)) <= {0, 1, 2, 4}


def test_another_machine_can_follow_the_champion_to_its_beginnings(team, elsewhere):
    said = team.run(elsewhere, "glioseg", "lineage", "models:/glioseg@champion")
    assert said.endswith("nothing is missing\n")


def test_another_machine_makes_the_numbers_again(team, elsewhere):
    said = team.run(elsewhere, "glioseg", "reproduce", "models:/glioseg/1")
    assert said.endswith("the metrics agree exactly\n")


def test_another_machine_has_nothing_to_register_and_leaves_nothing_behind(team, elsewhere):
    before = keys_of(team.bucket)
    said = team.run(elsewhere, "dvc", "repro")
    assert "version 1 is this model already; the champion is version 1" in said
    assert keys_of(team.bucket) == before
    assert not (elsewhere / "mlruns" / "artifacts").exists()


def test_a_machine_that_was_given_one_address_only_is_told_so(team, elsewhere):
    around = {name: value for name, value in team.around.items() if name != ARTIFACTS_URL}
    result = command(elsewhere, "glioseg", "lineage", "models:/glioseg@champion", **around)
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"glioseg lineage: {ARTIFACTS_URL}: this database keeps the files of tune in {URL}/tune, got nothing;"
        f" set it to {URL}, or start with a new database"
    )
