"""MLflow's page of the project's runs and models: `python -m glioseg.mlops.tracking.mlflow_page PORT`.

MLflow's lists of runs show no metrics by default, and each browser stores its own choice of columns. So the
addresses name a shared view, MLflow's "Share" button, in which the columns of Dice are selected.
"""

import json
import os
import socket
import sys

from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.core.labels import REGIONS
from glioseg.mlops.tracking.storage import ProjectStorage

HOST = "127.0.0.1"
"""The page has no password, so it is reachable from this machine only."""
LISTS = {"trials": "tune", "trainings": "train", "test Dice": "evaluate"}
"""What the lists of runs show, and their experiments."""
VIEW = "workflowType=machine_learning"
"""MLflow opens in its view of language models; with this parameter it shows runs and models."""
SHARED_VIEW = "glioseg"
"""The key of the shared view in an address, and in the experiment's tag that contains the view."""
COLUMNS = {
    "tune": ("best_val_dice", "case_s"),
    "train": ("best_val_dice",),
    "evaluate": ("mean_dice/mean", *(f"dice/{region}/mean" for region in REGIONS)),
}
"""The metrics that the shared view of each experiment shows."""


def require_free_port(port: int) -> None:
    """Require that no program listens on a port: its page would answer under the printed addresses.

    Raises:
        GliosegError: the port is taken.
    """
    try:
        with socket.create_server((HOST, port)):
            pass
    except OSError as error:
        why = os.strerror(error.errno or 0)  # `create_server` adds a repetition of the address
        raise GliosegError(f"{HOST}, port {port}: {why}; choose another: make ui PORT={port + 1}") from None


def addresses(storage: ProjectStorage, port: int) -> str:
    """Store the shared views; returns the addresses of the lists of runs, one per line."""
    from glioseg.mlops.tracking.mlflow_runs import (
        connect,
        experiment_id,
    )  # imports MLflow, which takes seconds

    client, page = connect(storage), f"http://{HOST}:{port}/#"
    lists = {}
    for what, experiment in LISTS.items():
        number = experiment_id(client, experiment)
        columns = [f"metrics.`{name}`" for name in COLUMNS[experiment]]
        view = json.dumps({"selectedColumns": columns})
        client.set_experiment_tag(number, f"mlflow.sharedViewState.{SHARED_VIEW}", view)
        lists[what] = f"experiments/{number}/runs?{VIEW}&viewStateShareKey={SHARED_VIEW}"
    lists["models"] = f"models?{VIEW}"
    return "\n".join(f"  {what:10} {page}/{path}" for what, path in lists.items())


def command(port: int) -> list[str]:
    """The command that serves the page."""
    return ["mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]


def variables(storage: ProjectStorage) -> dict[str, str]:
    """The environment variables of this command.

    An argument would show the database's password to every user who lists the processes. The jobs of MLflow's
    server are for language models; its seven workers would take 250 MB each.
    """
    return {
        "MLFLOW_BACKEND_STORE_URI": storage.tracking_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def main(words: list[str]) -> None:
    """Print the addresses, and replace this process by MLflow's server."""
    if len(words) != 1 or not words[0].isdecimal() or not 0 < int(words[0]) < 2**16:
        sys.exit(f"make ui: expected a port from 1 to 65535, got {' '.join(words) or 'nothing'}")
    port = int(words[0])
    with one_line_errors("make ui"):
        require_free_port(port)
        storage = ProjectStorage.current()
        print("MLflow opens in its GenAI view: choose 'Model training' at the top left, or go straight to")
        print(addresses(storage, port), flush=True)
        os.execvpe(command(port)[0], command(port), os.environ | variables(storage))


if __name__ == "__main__":
    main(sys.argv[1:])
