"""Who is at work in a lab, between real processes."""

import subprocess
import sys
from contextlib import contextmanager
from select import select

import pytest

from glioseg.mlops.tracking.process_locks import enter, undisturbed
from glioseg.mlops.tracking.storage import Lab

WORKER = """
import sys
from pathlib import Path
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tracking.process_locks import enter, undisturbed
lab, tidy = Lab(Path(sys.argv[1])), len(sys.argv) > 2
print("asking", flush=True)
enter(lab)
print("entered", flush=True)
if tidy:
    with undisturbed(lab) as quiet:
        print("quiet" if quiet else "not quiet", flush=True)
        sys.stdin.read()
sys.stdin.read()
"""


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@contextmanager
def other(lab, *words):
    """Another process, which is at work in the lab until the block ends."""
    command = [sys.executable, "-c", WORKER, str(lab.root), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process, *lines):
    """Read what it says next, and compare."""
    assert [process.stdout.readline().strip() for _ in lines] == list(lines)


def quiet(lab):
    with undisturbed(lab) as found:
        return found


def test_alone_it_is_quiet_and_beside_another_process_it_is_not(lab):
    assert quiet(lab)
    with other(lab) as worker:
        read(worker, "asking", "entered")
        assert not quiet(lab)
    assert quiet(lab)


def test_who_is_refused_stays_at_work_in_the_block_and_after_it(lab):
    enter(lab)
    with other(lab) as worker:
        read(worker, "asking", "entered")
        with undisturbed(lab) as found:
            assert not found
            worker.kill()
            worker.wait()
            with other(lab, "tidy") as third:
                read(third, "asking", "entered", "not quiet")
        with other(lab, "tidy") as third:
            read(third, "asking", "entered", "not quiet")


def test_nobody_begins_while_it_is_quiet(lab):
    with undisturbed(lab) as found, other(lab) as late:
        assert found
        read(late, "asking")
        assert not select([late.stdout], [], [], 0.5)[0]
    with other(lab) as late:
        read(late, "asking", "entered")


def test_of_two_who_tidy_up_neither_is_alone(lab):
    enter(lab)
    with other(lab, "tidy") as one, other(lab, "tidy") as two:
        read(one, "asking", "entered", "not quiet")
        read(two, "asking", "entered", "not quiet")
        assert not quiet(lab)


def test_of_a_database_that_others_use_nobody_can_say(tmp_path):
    assert not quiet(Lab(tmp_path, "postgresql://me@host/db"))
