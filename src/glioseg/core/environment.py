"""Which environment variables may decide what glioseg does: those of another job or project have no say.

A shell, a git hook or a scheduler may have set variables of git and MLflow for something else, for example
the run to which another job logs. docs/environment.md lists the variables that glioseg reads.
"""

import os

KEPT = {
    "GIT_": ("GIT_CONFIG", "GIT_EXEC_PATH", "GIT_TEST_"),
    "MLFLOW_": (
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT",
        "MLFLOW_BOTO_",
        "MLFLOW_DISABLE_TELEMETRY",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
        "MLFLOW_HTTP_",
        "MLFLOW_S3_",
        "MLFLOW_SQLALCHEMYSTORE_",
        "MLFLOW_SYSTEM_METRICS_",
    ),
    "_MLFLOW_ACTIVE_MODEL_ID": (),
}
"""By the prefix of variables of git and MLflow: the prefixes of those that stay in force. They say how to
reach a server and how often to measure, not which repository, database, run or model is meant."""


def is_foreign(name: str) -> bool:
    """Whether a variable of git or MLflow may belong to another job.

    >>> [is_foreign(name) for name in ("GIT_DIR", "GIT_CONFIG_GLOBAL", "MLFLOW_RUN_ID", "PATH")]
    [True, False, True, False]
    """
    return any(name.startswith(prefix) and not name.startswith(kept) for prefix, kept in KEPT.items())


def own_environment() -> dict[str, str]:
    """The environment of this process without variables that may belong to another job."""
    return {name: value for name, value in os.environ.items() if not is_foreign(name)}


def drop_foreign_variables() -> None:
    """Remove variables that may belong to another job from the environment of this process."""
    for name in [name for name in os.environ if is_foreign(name)]:
        del os.environ[name]
