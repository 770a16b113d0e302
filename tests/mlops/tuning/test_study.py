"""Studies in a damaged database."""

import sqlite3
from contextlib import closing

import pytest

from glioseg.mlops.tuning import (
    StudyError,
    search,
    study_names,
)
from tests.helpers import studies

ARGUMENTS = {"tune": studies.TUNE, "default_values": studies.FIRST, "observer": studies.RecordingObserver()}


def test_a_failing_database_is_reported_with_its_own_message(storage):
    def lose_a_table(values, report):
        with closing(sqlite3.connect(storage.folder / "optuna.db")) as database:
            database.execute("DROP TABLE trial_intermediate_values")
        return studies.train(values, report)

    with pytest.raises(StudyError, match="a study: the database failed: no such table") as error:
        search(storage=storage, name="a study", objective=lose_a_table, **ARGUMENTS)
    assert "\n" not in str(error.value)


def test_a_damaged_database_is_reported_with_its_own_message(storage):
    storage.folder.mkdir(parents=True, exist_ok=True)
    for database in storage.database_files:
        database.write_bytes(b"no database" * 1000)
    with pytest.raises(StudyError, match=r"^studies: the database failed: file is not a database$"):
        study_names(storage)
    with pytest.raises(StudyError, match=r"^a study: the database failed: file is not a database$"):
        search(storage=storage, name="a study", objective=studies.train, **ARGUMENTS)
