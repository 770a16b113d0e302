"""Variables of git and MLflow for another job are dropped; those that say how to reach a server stay."""

import os

import pytest

from glioseg.core.environment import drop_foreign_variables, own_environment

FOREIGN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_ACTIVE_MODEL_ID",
    "_MLFLOW_ACTIVE_MODEL_ID",
)
OWN = (
    "GIT_CONFIG_GLOBAL",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_DISABLE_TELEMETRY",
    "_MLFLOW_IS_IN_SERVING_ENVIRONMENT",
    "GLIOSEG_CLUSTER",
    "DVC_ROOT",
)


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name in (*FOREIGN, *OWN):
        monkeypatch.setenv(name, "x")


def test_the_environment_for_a_child_process_lacks_them():
    assert own_environment().keys() & {*FOREIGN, *OWN} == set(OWN)
    assert os.environ.keys() >= {*FOREIGN, *OWN}


def test_they_are_removed_from_this_process():
    drop_foreign_variables()
    assert os.environ.keys() & {*FOREIGN, *OWN} == set(OWN)
