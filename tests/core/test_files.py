import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from glioseg.core.files import link_or_copy, remove_whole, replaced_whole, write_whole


def interrupt(folder):
    with replaced_whole(folder) as aside:
        (aside / "new").touch()
        raise KeyboardInterrupt


def test_a_folder_is_replaced_whole(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with replaced_whole(tmp_path / "x") as aside:
        (aside / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "x"]


KILLED = 9
DIE = """
import itertools, os, sys
from pathlib import Path
from glioseg.core.files import remove_whole, replaced_whole

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
to_go = itertools.count(int(sys.argv[1]), -1)

def die(event, given):
    if event in CHANGES and next(to_go) == 0:
        os._exit(9)

def replace(folder):
    with replaced_whole(folder) as aside:
        for name in "abc":
            (aside / name).write_text("new")

sys.addaudithook(die)
{"replace": replace, "remove": remove_whole}[sys.argv[2]](Path(sys.argv[3]))
"""
"""Replaces or removes a folder, and dies before its n-th change of the file system."""


def killed_at_each_change(folder, word):
    """Yields after each kill; the folder holds three old files before."""
    for change in range(100):
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in "abc":
            (folder / name).write_text("old")
        done = subprocess.run([sys.executable, "-c", DIE, str(change), word, str(folder)])
        if done.returncode == 0:
            return
        assert done.returncode == KILLED
        yield change
    pytest.fail("it never ends")


def content(folder):
    return sorted((path.name, path.read_text()) for path in folder.iterdir()) if folder.exists() else None


OLD, NEW = ([(name, what) for name in "abc"] for what in ("old", "new"))


def test_killed_at_any_moment_a_replacement_loses_neither_the_old_nor_the_new(tmp_path):
    folder, seen = tmp_path / "home" / "x", []
    for _ in killed_at_each_change(folder, "replace"):
        seen.append(content(folder))
        with suppress(KeyboardInterrupt):
            interrupt(folder)
        assert content(folder) == (seen[-1] or OLD)
        assert os.listdir(folder.parent) == ["x"]
    assert all(found in (OLD, NEW, None) for found in seen)
    assert seen.count(None) == 1  # between the two renames
    assert seen[0] == OLD
    assert seen[-1] == NEW


def test_what_a_kill_left_never_passes_for_half_of_a_folder_that_is_gone(tmp_path):
    """DVC removes what a stage is to make anew, and knows nothing of what lies beside it."""
    folder = tmp_path / "home" / "x"
    for _ in killed_at_each_change(folder, "replace"):
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(KeyboardInterrupt):
            interrupt(folder)
        assert content(folder) in (OLD, None)


def test_killed_at_any_moment_a_removal_leaves_a_whole_folder_or_none(tmp_path):
    folder = tmp_path / "home" / "x"
    seen = [content(folder) for _ in killed_at_each_change(folder, "remove")]
    assert seen == [OLD] + [None] * 4  # a rename, then three files and their folder
    remove_whole(folder)  # what is not there is no error


def test_where_the_name_is_a_link_the_folder_that_it_points_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "old").touch()
    (tmp_path / "x").symlink_to(tmp_path / "far")
    with replaced_whole(tmp_path / "x") as aside:
        (aside / "new").touch()
    assert (tmp_path / "x").is_symlink()
    assert os.listdir(tmp_path / "far") == ["new"]
    assert sorted(os.listdir(tmp_path)) == ["far", "x"]


def test_an_interrupted_replacement_keeps_the_old(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupt(tmp_path / "x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "x"]


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_whole(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_s_mode_is_what_the_umask_leaves_and_the_umask_stays(tmp_path, monkeypatch, mask, mode):
    def forbid(_):
        pytest.fail("to set the umask changes it for all threads")

    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch, ThreadPoolExecutor(8) as threads:
            patch.setattr(os, "umask", forbid)
            list(threads.map(lambda n: write_whole(tmp_path / f"{n % 5}", b"x"), range(200)))
    finally:
        assert os.umask(before) == mask
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [mode] * 5


def test_a_link_is_a_second_name(tmp_path):
    (tmp_path / "x").write_text("content")
    link_or_copy(tmp_path / "x", tmp_path / "y")
    assert os.path.samefile(tmp_path / "x", tmp_path / "y")


def test_where_there_are_no_links_it_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "x").write_text("content")
    link_or_copy(tmp_path / "x", tmp_path / "y")
    assert (tmp_path / "y").read_text() == "content"
    assert not os.path.samefile(tmp_path / "x", tmp_path / "y")
