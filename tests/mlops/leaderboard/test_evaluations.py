"""Evaluations as they are read from MLflow."""

from dataclasses import replace

from glioseg.mlops.leaderboard.evaluations import find_evaluations
from glioseg.mlops.leaderboard.page import leaderboard
from glioseg.mlops.tracking.mlflow_runs import experiment_id

DATA_VERSION = "0123456789abcdef0123456789abcdef.dir"


def test_models_are_grouped_by_test_cases(project, sets):
    assert [[model.model for model in models] for models in sets] == [
        [project.other.model_id],
        [project.other.model_id, project.one.model_id],
    ]


def test_the_newest_evaluation_of_a_model_is_shown_and_others_are_counted(project):
    client, experiment = project.client, experiment_id(project.client, "evaluate")
    unfinished = client.create_run(experiment).info.run_id
    deleted = client.create_run(experiment).info.run_id
    client.delete_run(deleted)
    found = find_evaluations(client)
    client.delete_run(unfinished)
    assert len(found.shown) == 3
    assert found.others == {"older of the same models": 1, "unfinished": 1, "deleted": 1}


def test_a_deleted_training_run_is_reported(project, sets):
    model = sets[1][1]
    assert model.training == ""
    project.client.delete_run(project.one.run_id)
    try:
        assert find_evaluations(project.client).test_sets[1][1].training == "deleted"
    finally:
        project.client.restore_run(project.one.run_id)
    assert (
        leaderboard([replace(model, training="deleted")])[0].facts[2].text
        == f"{project.one.run_id[:8]} deleted"
    )


def test_without_a_tag_of_the_test_files_the_data_version_and_the_cases_identify_a_test_set(sets):
    """Runs of older versions of glioseg have neither a tag of the test files nor of the preset."""
    old = [replace(model, tags={"data_version": DATA_VERSION}) for model in sets[1]]
    assert old[0].test_set == old[1].test_set
    assert replace(old[0], tags={"data_version": "another"}).test_set != old[0].test_set
    assert replace(old[0], table=old[0].table[:2]).test_set != old[0].test_set
    unknown = [replace(model, tags={}) for model in old]
    assert unknown[0].test_set != unknown[1].test_set
    assert leaderboard(old)[0].facts[1].text == "unknown"
