"""MLflow's server as docs/deploy.md sets it up: names and passwords, allowed hosts, database and bucket."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers.postgres import PASSWORD
from tests.helpers.servers import command_lines, free_port, server
from tests.helpers.teams import URL, Team

ACCOUNTS = Path(__file__).parents[2] / "docs" / "deploy" / "basic_auth.ini"
ADMIN, ANN = ("admin", "the admin's password"), ("ann", "a password of hers")
API = "api/2.0/mlflow"


@pytest.fixture(scope="module")
def address(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address; accounts are kept in a database of their own."""
    database = team.around["GLIOSEG_DATABASE_URL"]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE DATABASE glioseg_accounts")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    accounts = database.replace("postgresql://", "postgresql+psycopg://").replace(
        "/postgres", "/glioseg_accounts"
    )
    (folder / "basic_auth.ini").write_text(
        "\n".join(
            f"database_uri = {accounts.replace('%', '%%')}" if line.startswith("database_uri") else line
            for line in ACCOUNTS.read_text().splitlines()
        )
    )
    words = ["mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--allowed-hosts", f"mlflow.lab,127.0.0.1:{port}", "--workers", "1"]
    words += ["--artifacts-destination", f"{URL}/notebooks"]
    around = {
        "MLFLOW_BACKEND_STORE_URI": ProjectStorage(folder, database).tracking_uri,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the browser's sessions",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with server(words, port=port, ready="health", **team.around, **around) as address:
        ask(address, f"{API}/users/create", ADMIN, body={"username": ANN[0], "password": ANN[1]})
        yield address


def ask(address: str, path: str, user: tuple[str, str] | None = None, *, body=None, host: str = "") -> bytes:
    """What the server answers; `body` is sent as JSON."""
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(user).encode()).decode()}"
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/{path}", content, headers)) as reply:
        return reply.read()


def test_the_database_s_password_is_on_no_command_line(address):
    seen = command_lines()
    assert any("mlflow" in command for command in seen)
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in "".join(seen)


def refused(address: str, path: str, user: tuple[str, str] | None = None, **given) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, path, user, **given)
    return caught.value.code


def evaluations(address: str, user: tuple[str, str]) -> list[dict]:
    named = f"{API}/experiments/get-by-name?experiment_name=evaluate"
    experiment = json.loads(ask(address, named, user))["experiment"]["experiment_id"]
    body = {"experiment_ids": [experiment]}
    return json.loads(ask(address, f"{API}/runs/search", user, body=body))["runs"]


@pytest.mark.parametrize("path", ["", f"{API}/experiments/get-by-name?experiment_name=train"])
def test_who_has_no_name_or_a_wrong_password_is_refused(address, path):
    assert refused(address, path) == HTTPStatus.UNAUTHORIZED
    assert refused(address, path, (ANN[0], "another password")) == HTTPStatus.UNAUTHORIZED


def test_a_user_sees_the_team_s_runs_and_their_files(address, team):
    (run,) = evaluations(address, ANN)
    file = f"get-artifact?run_uuid={run['info']['run_id']}&path=per_case.csv"
    assert ask(address, file, ANN) == (team.home / "reports" / "per_case.csv").read_bytes()


def test_a_user_changes_nothing(address):
    (run,) = evaluations(address, ANN)
    body = {"run_id": run["info"]["run_id"]}
    assert refused(address, f"{API}/runs/delete", ANN, body=body) == HTTPStatus.FORBIDDEN
    assert evaluations(address, ANN)


def test_a_request_by_another_host_s_name_is_refused(address):
    assert evaluations(address, ANN)
    assert refused(address, "", ANN, host="attacker.example") == HTTPStatus.FORBIDDEN
    assert b"<title>MLflow" in ask(address, "", ANN, host="mlflow.lab")


def test_what_people_keep_there_stays_when_the_team_s_runs_are_pruned(address, team):
    made = ask(address, f"{API}/experiments/create", ANN, body={"name": "of ann"})
    experiment = json.loads(made)["experiment_id"]
    body = {"experiment_id": experiment}
    run = json.loads(ask(address, f"{API}/runs/create", ANN, body=body))["run"]["info"]["run_id"]
    ask(address, f"{API}/runs/update", ANN, body={"run_id": run, "status": "FINISHED"})
    said = team.run(team.home, "glioseg", "prune-runs", "--yes")
    assert said.splitlines()[-1] == "mlruns: nothing to remove"
    found = json.loads(ask(address, f"{API}/runs/search", ANN, body={"experiment_ids": [experiment]}))
    assert [one["info"]["run_id"] for one in found["runs"]] == [run]
