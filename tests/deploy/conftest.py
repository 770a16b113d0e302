"""A team's parts, all on this machine: PostgreSQL, a bucket, and a project that was reproduced with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from glioseg.mlops.tracking.storage import ARTIFACTS_URL, DATABASE_URL
from tests.helpers.postgres import QUICK, postgres, programs
from tests.helpers.projects import clone_project, commit, succeed
from tests.helpers.s3 import KEYS, make_bucket, s3_server
from tests.helpers.teams import URL, Team


@pytest.fixture(scope="session")
def team(reproduced: Path) -> Iterator[Team]:
    """A project whose study, training, evaluation and version were made with the two addresses.

    The data stages are those of the project that it is a clone of.
    """
    bins = programs() or pytest.skip("no PostgreSQL: apt-get install postgresql")
    with postgres(bins, **QUICK) as database, s3_server() as endpoint:
        around = {DATABASE_URL: database, ARTIFACTS_URL: URL, "AWS_ENDPOINT_URL": endpoint, **KEYS}
        bucket = make_bucket(endpoint, "team")
        home = clone_project(reproduced, reproduced.with_name("team"))
        succeed(home, "dvc", "pull")
        team = Team(home, around, bucket)
        team.run(home, "dvc", "repro", "--force", "--downstream", "tune")
        succeed(home, "dvc", "remote", "add", "--default", "--force", "store", f"{URL}/dvc")
        commit(home, "A model of the team's")
        team.run(home, "dvc", "push")
        yield team
