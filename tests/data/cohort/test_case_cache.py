"""Records: a case is done again if what it depends on changed, and not otherwise."""

import json
import os
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from glioseg.compute import LOCAL, Cluster, ClusterError
from glioseg.data.cohort import case_cache
from glioseg.data.cohort.case_cache import digest_files, record_cases
from tests.helpers.recorded import Given, facts, write_name


def do(folder: Path, *given: Given) -> list[case_cache.Record]:
    return record_cases(
        write_name,
        given,
        code=case_cache.__name__,
        facts=facts,
        reads=lambda _: (),
        folder=folder,
        title="write",
    )


def plain(*names: str) -> list[Given]:
    return [(name, "write") for name in names]


def test_what_was_done_is_found_again_in_the_order_of_the_cases(tmp_path):
    first = [record.found for record in do(tmp_path / "r", *plain("a", "b", "c"))]
    assert [found["name"] for found in first] == ["a", "b", "c"]
    again = [record.found for record in do(tmp_path / "r", *plain("c", "a", "b"))]
    assert again == [first[2], first[0], first[1]]


def test_one_new_case_is_one_case_of_work_and_one_that_is_gone_is_forgotten(tmp_path):
    a, b = (record.found for record in do(tmp_path / "r", *plain("a", "b")))
    again = [record.found for record in do(tmp_path / "r", *plain("b", "c"))]
    assert again[0] == b
    assert again[1]["done_ns"] > b["done_ns"]
    assert len(list((tmp_path / "r").iterdir())) == 2
    assert do(tmp_path / "r", *plain("a"))[0].found["done_ns"] > a["done_ns"]


def test_changed_code_is_work_for_every_case(tmp_path, monkeypatch):
    (before,) = do(tmp_path / "r", *plain("a"))
    done = before.found
    monkeypatch.setattr(case_cache, "code_fingerprint", lambda module: f"other {module}")
    (after,) = do(tmp_path / "r", *plain("a"))
    assert after.folder != before.folder
    assert after.found["done_ns"] > done["done_ns"]


def test_a_failed_case_loses_no_other_and_leaves_nothing_of_itself(tmp_path):
    (a,) = (record.found for record in do(tmp_path / "r", *plain("a")))
    with pytest.raises(ValueError, match="b: broken"):
        do(tmp_path / "r", *plain("a"), ("b", "fail"))
    assert [path.name.startswith(".") for path in (tmp_path / "r").iterdir()] == [False]
    assert [record.found["name"] for record in do(tmp_path / "r", *plain("a", "b"))] == ["a", "b"]
    assert do(tmp_path / "r", *plain("a"))[0].found == a


def test_a_killed_stage_goes_on_where_it_stopped(tmp_path):
    (a,) = (record.found for record in do(tmp_path / "r", *plain("a")))
    with pytest.raises(ClusterError, match="killed"):
        do(tmp_path / "r", *plain("a"), ("b", "die"))
    done = do(tmp_path / "r", *plain("a", "b"))
    assert done[0].found == a
    assert [path.name for path in done[1].folder.iterdir()].count("half") == 0
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_stopped_while_it_forgets_a_case_it_does_that_case_anew(tmp_path, monkeypatch):
    def stop_at_the_second(*given, **named):
        removed.append(given)
        if len(removed) == 2:
            raise KeyboardInterrupt
        unlink(*given, **named)

    removed, unlink = [], os.unlink
    do(tmp_path / "r", *plain("a", "b"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            do(tmp_path / "r", *plain("a"))
    for record, name in zip(do(tmp_path / "r", *plain("a", "b")), "ab", strict=True):
        assert record.found["name"] == name
        assert (record.folder / "name.txt").read_text() == name
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_two_hosts_may_make_one_record_at_once(tmp_path):
    place = tmp_path / "r" / "key"
    both = Barrier(2)

    def meet(given: Given, folder: Path) -> dict[str, object]:
        both.wait()
        return write_name(given, folder)

    todo = (place, ("a", "write"), ())
    Cluster("threads", workers=2).map(partial(case_cache._do, meet), [todo, todo], title="write")
    assert [path.name for path in place.parent.iterdir()] == ["key"]
    assert (place / "name.txt").read_text() == "a"
    case_cache._do(meet, todo)  # what is there is not made again: nobody comes to the barrier


def test_a_machine_that_cannot_read_a_case_s_file_is_named(tmp_path):
    reads = [tmp_path / "elsewhere.nii.gz"]
    with pytest.raises(
        ClusterError, match=r"elsewhere\.nii\.gz on .*: expected the file that others can read"
    ):
        record_cases(
            write_name,
            plain("a"),
            code=case_cache.__name__,
            facts=facts,
            reads=lambda _: reads,
            folder=tmp_path / "r",
            title="write",
            cluster=Cluster("threads"),
        )


def test_files_are_placed_as_links_without_the_record(tmp_path):
    (record,) = do(tmp_path / "r", *plain("a"))
    record.place(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["name.txt"]
    assert os.path.samefile(tmp_path / "out" / "name.txt", record.folder / "name.txt")


def test_a_digest_is_remembered_until_the_file_changes(tmp_path):
    file, table = tmp_path / "file", tmp_path / "digests.json"
    file.write_bytes(b"")
    # SHA-256 of nothing, and of "abc": FIPS 180-2, appendix B.1.
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_files([file], table=table, cluster=LOCAL) == {file: nothing}
    known = json.loads(table.read_text())
    known[str(file)][-1] = "remembered"
    table.write_text(json.dumps(known))
    assert digest_files([file], table=table, cluster=LOCAL) == {file: "remembered"}
    file.write_bytes(b"abc")
    assert digest_files([file], table=table, cluster=LOCAL) == {file: abc}
    file.unlink()
    assert digest_files([file], table=table, cluster=LOCAL) == {file: ""}
    assert json.loads(table.read_text()) == {}
