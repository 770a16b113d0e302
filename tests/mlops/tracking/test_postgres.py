"""Studies and runs in the database of a real PostgreSQL server."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from glioseg.cli.tune_worker import TuneWorker
from glioseg.core.extras import MissingPackageError
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.model_uri import champion_version
from glioseg.mlops.tracking.postgres import DatabaseError, schema_url
from glioseg.mlops.tracking.storage import DATABASE_URL, ProjectStorage
from glioseg.mlops.tracking.training_run import training_run
from tests.helpers import studies
from tests.helpers.postgres import PASSWORD, QUICK, postgres, programs
from tests.helpers.servers import free_port


@pytest.fixture(scope="module")
def address():
    """The address of a new database, on a server for this module."""
    bins = programs() or pytest.skip("no PostgreSQL: apt-get install postgresql")
    with postgres(bins, **QUICK) as address:
        yield address


@pytest.fixture
def watch(address, tmp_path, monkeypatch, request):
    """The study of this test, in the database."""
    monkeypatch.chdir(tmp_path)
    with studies.Watch.on(ProjectStorage(tmp_path, address), f"study of {request.node.name}") as watch:
        yield watch


def test_two_workers_share_a_study_and_one_continues_after_kill_9(watch):
    first, second = watch.start(trials=4), watch.start(trials=4)
    watch.wait_for(lambda: watch.trials(TrialState.RUNNING))
    first.kill()
    watch.join(second)
    watch.check(trials=4)
    assert not list(watch.storage.folder.glob("*.db"))


def test_the_trial_of_a_machine_without_heartbeats_is_retried_and_counts_once(watch):
    """The process was only suspended: when it continues, another worker has retried its trial."""
    sleeper = watch.start(trials=1, objective=studies.until_go_on, host="remote")
    watch.wait_for(watch.training_trials)
    os.kill(sleeper.pid, signal.SIGSTOP)
    watch.join(watch.start(trials=1, host="local"))
    (watch.storage.root / "go on").touch()
    os.kill(sleeper.pid, signal.SIGCONT)
    watch.join(sleeper)
    study = watch.check(trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "trial 0 sent no heartbeat for too long" in watch.output(sleeper)


def test_one_variable_moves_runs_and_studies_to_the_database(watch, address):
    lines = {}
    for word in ("tracking", "studies"):
        done = subprocess.run(
            [sys.executable, "-m", "glioseg.mlops.tracking.storage", word],
            env=os.environ | {DATABASE_URL: address},
            capture_output=True,
            text=True,
            check=True,
        )
        lines[word] = done.stdout.strip()
    assert lines == {"tracking": watch.storage.tracking_uri, "studies": watch.storage.study_url}
    for line in lines.values():  # each finds the tables of one of the two, and no others
        with sa.create_engine(line).connect() as connection:
            names = set(sa.inspect(connection).get_table_names())
        assert "alembic_version" in names
        assert ("experiments" in names) == (line == lines["tracking"])
        assert ("trials" in names) == (line == lines["studies"])
    assert champion_version(watch.storage.database, name="glioseg") is None


def test_a_waiting_thread_prints_one_line_and_gets_the_lock_next(watch, capsys):
    order = []

    def second():
        with watch.storage.locked("x", waiting="another process holds it"):
            order.append("second")

    thread = Thread(target=second)
    with watch.storage.locked("x"):
        thread.start()
        watch.wait_for(lambda: "another process holds it" in capsys.readouterr().out)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_server_that_does_not_respond_is_named_without_its_password():
    with pytest.raises(DatabaseError, match=r"no database at postgresql\+psycopg://me:\*\*\*@127") as error:
        ProjectStorage(Path("/nowhere"), f"postgresql://me:secret@127.0.0.1:{free_port()}/db").locked(
            "x"
        ).__enter__()
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("?user=me&password=secret", "refused"),
        ("?sslpassword=secret", "refused"),
        ("?password=secret&nonsense=1", 'invalid connection option "nonsense"'),
    ],
)
def test_a_password_among_the_options_is_not_shown(end, why):
    with pytest.raises(DatabaseError, match=why) as error:
        ProjectStorage(Path("/nowhere"), f"postgresql://127.0.0.1:{free_port()}/db{end}").locked(
            "x"
        ).__enter__()
    assert "password=hidden" in str(error.value)
    assert "secret" not in str(error.value)


def test_the_repr_of_storage_and_worker_contains_no_password():
    """Dask logs a task that fails with all that it was called with."""
    url = "postgresql://me:secret@host/db"
    for shown in (ProjectStorage(Path("/x"), url), TuneWorker(print, "host", url)):
        assert "secret" not in f"{shown} {shown!r}"


def test_no_row_and_no_file_of_a_training_contains_the_password(watch):
    with training_run(
        connect(watch.storage),
        state=watch.storage.state("k"),
        name="unet",
        params={"a": 1},
        cases=[{"train": 1}],
    ) as log:
        log.set_tags({"device": "CPU"})
    watch.join(watch.start(trials=1))
    stored = "".join(file.read_text() for file in watch.storage.root.rglob("*") if file.is_file())
    for url in (watch.storage.tracking_uri, watch.storage.study_url):
        with sa.create_engine(url).connect() as connection:
            for table in sa.inspect(connection).get_table_names():
                stored += str(connection.execute(sa.text(f'SELECT * FROM "{table}"')).fetchall())
    assert "unet" in stored
    assert watch.name in stored
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in stored


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:secret@host/db",
        "mysql://host/db?password=secret",
        "host/db",
        "postgres://me:secret@host/db",
        "postgresql://me:secret/db",
    ],
)
def test_another_kind_of_address_is_rejected(url):
    with pytest.raises(DatabaseError, match="expected postgresql://user:password@host/database") as error:
        schema_url(url, "optuna")
    assert "secret" not in str(error.value)


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = r"^GLIOSEG_DATABASE_URL: needs packages .* \(psycopg\): pip install 'glioseg\[postgres\]'$"
    with pytest.raises(MissingPackageError, match=message):
        ProjectStorage(Path("/nowhere"), "postgresql://me@127.0.0.1/db").locked("x").__enter__()
