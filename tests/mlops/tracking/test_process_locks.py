"""Locks between real processes: exclusive ones, and the one that all users of a project's storage share."""

import errno
import fcntl
import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from select import select

import pytest

from glioseg.mlops.tracking.process_locks import LockError, exclusive_lock, is_locked
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers.read_only import UNPRIVILEGED, read_only
from tests.helpers.waiting import TIMEOUT_S


def hold_for_half_a_second(lock_file, locked, log):
    with exclusive_lock(lock_file):
        locked.set()
        time.sleep(0.5)
        with log.open("a") as file:
            file.write("first\n")


def test_a_second_process_waits_for_the_lock_and_prints_one_line(tmp_path, capsys):
    spawn = multiprocessing.get_context("spawn")
    lock_file, log, locked = tmp_path / "locks" / "x", tmp_path / "log", spawn.Event()
    first = spawn.Process(target=hold_for_half_a_second, args=(lock_file, locked, log))
    first.start()
    assert locked.wait(TIMEOUT_S)
    with exclusive_lock(lock_file, waiting="waiting"), log.open("a") as file:
        file.write("second\n")
    first.join()
    assert log.read_text() == "first\nsecond\n"
    assert capsys.readouterr().out == "waiting\n"


def hold_until_killed(lock_file, locked):
    with exclusive_lock(lock_file):
        locked.set()
        time.sleep(2 * TIMEOUT_S)


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path, capsys):
    spawn = multiprocessing.get_context("spawn")
    locked = spawn.Event()
    victim = spawn.Process(target=hold_until_killed, args=(tmp_path / "x", locked))
    victim.start()
    assert locked.wait(TIMEOUT_S)
    assert is_locked(tmp_path / "x")
    victim.kill()
    victim.join()
    assert not is_locked(tmp_path / "x")
    with exclusive_lock(tmp_path / "x", waiting="waiting"):
        pass
    assert capsys.readouterr().out == ""


def test_a_lock_is_locked_while_its_block_runs_and_without_a_file_it_is_not(tmp_path):
    assert not is_locked(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with exclusive_lock(tmp_path / "x"):
        assert is_locked(tmp_path / "x")
    assert not is_locked(tmp_path / "x")


PROCESS = """
import sys
from pathlib import Path
from glioseg.mlops.tracking.storage import ProjectStorage
storage, ask_for_exclusive_use = ProjectStorage(Path(sys.argv[1])), len(sys.argv) > 2
print("starting", flush=True)
storage.hold_shared_lock()
print("shared", flush=True)
if ask_for_exclusive_use:
    with storage.exclusive() as exclusive:
        print("exclusive" if exclusive else "not exclusive", flush=True)
        sys.stdin.read()
sys.stdin.read()
"""


@pytest.fixture
def storage(tmp_path):
    return ProjectStorage(tmp_path)


@contextmanager
def other_process(storage, *words):
    """Another process that uses the storage until the block ends."""
    command = [sys.executable, "-c", PROCESS, str(storage.root), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def expect_lines(process, *lines):
    """Read the next lines that a process prints, and compare them."""
    assert [process.stdout.readline().strip() for _ in lines] == list(lines)


def gets_exclusive_use(storage):
    with storage.exclusive() as exclusive:
        return exclusive


def test_use_is_exclusive_unless_another_process_runs(storage):
    assert gets_exclusive_use(storage)
    with other_process(storage) as process:
        expect_lines(process, "starting", "shared")
        assert not gets_exclusive_use(storage)
    assert gets_exclusive_use(storage)


def test_a_refused_process_keeps_the_shared_lock_in_the_block_and_after_it(storage):
    storage.hold_shared_lock()
    with other_process(storage) as process:
        expect_lines(process, "starting", "shared")
        with storage.exclusive() as exclusive:
            assert not exclusive
            process.kill()
            process.wait()
            with other_process(storage, "exclusive") as third:
                expect_lines(third, "starting", "shared", "not exclusive")
        with other_process(storage, "exclusive") as third:
            expect_lines(third, "starting", "shared", "not exclusive")


def test_no_process_gets_the_shared_lock_during_exclusive_use(storage):
    with storage.exclusive() as exclusive, other_process(storage) as late:
        assert exclusive
        expect_lines(late, "starting")
        assert not select([late.stdout], [], [], 0.5)[0]
    with other_process(storage) as late:
        expect_lines(late, "starting", "shared")


def test_of_two_processes_that_ask_for_exclusive_use_neither_gets_it(storage):
    storage.hold_shared_lock()
    with other_process(storage, "exclusive") as one, other_process(storage, "exclusive") as two:
        expect_lines(one, "starting", "shared", "not exclusive")
        expect_lines(two, "starting", "shared", "not exclusive")
        assert not gets_exclusive_use(storage)


def test_use_of_a_postgresql_database_is_never_exclusive(tmp_path):
    assert not gets_exclusive_use(ProjectStorage(tmp_path, "postgresql://me@host/db"))


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that has no locks, e.g. a network drive without a lock service."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.mark.usefixtures("no_locks")
def test_a_file_system_without_locks_is_one_line_that_names_the_file_and_the_remedy(storage):
    line = r"mlruns/locks/\S+: the file system has no locks \(No locks available\).*; move the project to a"
    with pytest.raises(LockError, match=line), storage.locked("x"):
        pass
    with pytest.raises(LockError, match=line):
        storage.hold_shared_lock()


READER = """
import sys
from pathlib import Path
from glioseg.mlops.tracking.storage import ProjectStorage
storage = ProjectStorage(Path(sys.argv[1]))
storage.hold_shared_lock()
print(storage.is_writable, flush=True)
sys.stdin.read()
"""


@contextmanager
def reader(storage):
    """A process that may only read the storage; the block gets what it prints."""
    command = [*UNPRIVILEGED, sys.executable, "-c", READER, str(storage.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline()
        finally:
            process.kill()


def test_a_user_who_may_only_read_holds_the_shared_lock(storage):
    storage.hold_shared_lock()
    with read_only(storage.root), reader(storage) as printed:
        assert printed == "False\n"
        assert not gets_exclusive_use(storage)
    assert gets_exclusive_use(storage)


def test_without_a_lock_file_a_user_who_may_only_read_needs_none(storage):
    storage.prepare()
    with read_only(storage.root), reader(storage) as printed:
        assert printed == "False\n"
        assert list(storage.folder.iterdir()) == []
