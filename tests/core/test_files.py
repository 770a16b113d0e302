"""Atomic writes survive interrupts and kills at any moment."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from glioseg.core.files import link_or_copy, remove_folder_atomic, replace_folder_atomic, write_atomic


def interrupt_replacement(folder):
    with replace_folder_atomic(folder) as temporary:
        (temporary / "new").touch()
        raise KeyboardInterrupt


def test_a_folder_is_replaced_completely(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with replace_folder_atomic(tmp_path / "x") as temporary:
        (temporary / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "x"]


KILLED = 9
DIE = """
import itertools, os, sys
from pathlib import Path
from glioseg.core.files import remove_folder_atomic, replace_folder_atomic

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
remaining = itertools.count(int(sys.argv[1]), -1)

def die(event, arguments):
    if event in CHANGES and next(remaining) == 0:
        os._exit(9)

def replace(folder):
    with replace_folder_atomic(folder) as temporary:
        for name in "abc":
            (temporary / name).write_text("new")

sys.addaudithook(die)
{"replace": replace, "remove": remove_folder_atomic}[sys.argv[2]](Path(sys.argv[3]))
"""
"""Replace or remove a folder, and die before the n-th change of the file system."""


def killed_at_each_change(folder, action):
    """Restore three old files, run the action until the n-th change, and yield, for each n."""
    for change in range(100):
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in "abc":
            (folder / name).write_text("old")
        done = subprocess.run([sys.executable, "-c", DIE, str(change), action, str(folder)])
        if done.returncode == 0:
            return
        assert done.returncode == KILLED
        yield change
    pytest.fail("the action has too many changes")


def content(folder):
    return sorted((path.name, path.read_text()) for path in folder.iterdir()) if folder.exists() else None


OLD, NEW = ([(name, what) for name in "abc"] for what in ("old", "new"))


def test_a_killed_replacement_leaves_the_old_or_the_new_folder(tmp_path):
    folder, seen = tmp_path / "home" / "x", []
    for _ in killed_at_each_change(folder, "replace"):
        seen.append(content(folder))
        with suppress(KeyboardInterrupt):
            interrupt_replacement(folder)
        assert content(folder) == (seen[-1] or OLD)
        assert os.listdir(folder.parent) == ["x"]
    assert all(found in (OLD, NEW, None) for found in seen)
    assert seen.count(None) == 1  # between the two renames
    assert seen[0] == OLD
    assert seen[-1] == NEW


def test_remainders_of_a_kill_never_become_part_of_the_folder(tmp_path):
    """DVC removes the outputs of a stage before it runs, but not the remainders beside them."""
    folder = tmp_path / "home" / "x"
    for _ in killed_at_each_change(folder, "replace"):
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(KeyboardInterrupt):
            interrupt_replacement(folder)
        assert content(folder) in (OLD, None)


def test_a_killed_removal_leaves_a_complete_folder_or_none(tmp_path):
    folder = tmp_path / "home" / "x"
    seen = [content(folder) for _ in killed_at_each_change(folder, "remove")]
    assert seen == [OLD] + [None] * 4  # a rename, then three files and their folder
    remove_folder_atomic(folder)  # no error without a folder


def test_a_link_is_kept_and_its_target_is_replaced(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    (tmp_path / "x").symlink_to(tmp_path / "target")
    with replace_folder_atomic(tmp_path / "x") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "x").is_symlink()
    assert os.listdir(tmp_path / "target") == ["new"]
    assert sorted(os.listdir(tmp_path)) == ["target", "x"]


def test_an_interrupted_replacement_keeps_the_old(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupt_replacement(tmp_path / "x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "x"]


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_atomic(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_mode_of_the_umask_which_is_unchanged(tmp_path, monkeypatch, mask, mode):
    def forbid(_):
        pytest.fail("setting the umask changes it for all threads")

    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch, ThreadPoolExecutor(8) as threads:
            patch.setattr(os, "umask", forbid)
            list(threads.map(lambda n: write_atomic(tmp_path / f"{n % 5}", b"x"), range(200)))
    finally:
        assert os.umask(before) == mask
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [mode] * 5


def test_a_hard_link_is_the_same_file(tmp_path):
    (tmp_path / "x").write_text("content")
    link_or_copy(tmp_path / "x", tmp_path / "y")
    assert os.path.samefile(tmp_path / "x", tmp_path / "y")


def test_without_hard_links_the_file_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "x").write_text("content")
    link_or_copy(tmp_path / "x", tmp_path / "y")
    assert (tmp_path / "y").read_text() == "content"
    assert not os.path.samefile(tmp_path / "x", tmp_path / "y")
