"""DVC keeps data in its cache, with the project's configuration, on disks with and without links."""

import errno
import os
import shutil

import pytest
from dvc.repo import Repo

from tests.helpers.projects import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with the configuration of this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    Repo.init(no_scm=True).close()
    (tmp_path / ".dvc/config").rename(tmp_path / ".dvc/config.local")  # has core.no_scm
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/scan.nii").write_text("voxels")
    return tmp_path


def refuse(*_, **__):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.mark.parametrize("has_links", [True, False])
def test_data_are_linked_where_the_disk_has_links_and_else_copied(project, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(os, "symlink", refuse)
    with Repo() as repo:
        repo.add("data")
    assert (project / "data/scan.nii").read_text() == "voxels"
    assert (project / "data/scan.nii").stat().st_nlink == (2 if has_links else 1)
