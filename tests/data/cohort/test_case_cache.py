"""The work on a case is repeated if anything that it depends on changed, and otherwise not."""

import json
import os
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from glioseg.compute import LOCAL, Cluster, ClusterError
from glioseg.data.cohort import case_cache
from glioseg.data.cohort.case_cache import digest_files, map_cached
from tests.helpers.cached_work import CaseWork, facts, write_name


def run(folder: Path, *given: CaseWork) -> list[case_cache.CacheEntry]:
    return map_cached(
        write_name,
        given,
        code=case_cache.__name__,
        key=facts,
        inputs=lambda _: (),
        folder=folder,
        title="write",
    )


def plain(*names: str) -> list[CaseWork]:
    return [(name, "write") for name in names]


def test_cached_results_come_in_the_order_of_the_cases(tmp_path):
    first = [entry.result for entry in run(tmp_path / "r", *plain("a", "b", "c"))]
    assert [found["name"] for found in first] == ["a", "b", "c"]
    again = [entry.result for entry in run(tmp_path / "r", *plain("c", "a", "b"))]
    assert again == [first[2], first[0], first[1]]


def test_one_new_case_is_one_call_and_the_entry_of_a_removed_case_is_deleted(tmp_path):
    a, b = (entry.result for entry in run(tmp_path / "r", *plain("a", "b")))
    again = [entry.result for entry in run(tmp_path / "r", *plain("b", "c"))]
    assert again[0] == b
    assert again[1]["done_ns"] > b["done_ns"]
    assert len(list((tmp_path / "r").iterdir())) == 2
    assert run(tmp_path / "r", *plain("a"))[0].result["done_ns"] > a["done_ns"]


def test_changed_code_repeats_the_work_on_every_case(tmp_path, monkeypatch):
    (before,) = run(tmp_path / "r", *plain("a"))
    done = before.result
    monkeypatch.setattr(case_cache, "code_fingerprint", lambda module: f"other {module}")
    (after,) = run(tmp_path / "r", *plain("a"))
    assert after.folder != before.folder
    assert after.result["done_ns"] > done["done_ns"]


def test_a_failed_case_leaves_no_entry_and_keeps_those_of_the_others(tmp_path):
    (a,) = (entry.result for entry in run(tmp_path / "r", *plain("a")))
    with pytest.raises(ValueError, match="b: broken"):
        run(tmp_path / "r", *plain("a"), ("b", "fail"))
    assert [path.name.startswith(".") for path in (tmp_path / "r").iterdir()] == [False]
    assert [entry.result["name"] for entry in run(tmp_path / "r", *plain("a", "b"))] == ["a", "b"]
    assert run(tmp_path / "r", *plain("a"))[0].result == a


def test_a_killed_stage_continues_after_its_last_finished_case(tmp_path):
    (a,) = (entry.result for entry in run(tmp_path / "r", *plain("a")))
    with pytest.raises(ClusterError, match="killed"):
        run(tmp_path / "r", *plain("a"), ("b", "die"))
    done = run(tmp_path / "r", *plain("a", "b"))
    assert done[0].result == a
    assert [path.name for path in done[1].folder.iterdir()].count("half") == 0
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_a_half_deleted_entry_is_made_again(tmp_path, monkeypatch):
    def stop_at_the_second(*given, **named):
        removed.append(given)
        if len(removed) == 2:
            raise KeyboardInterrupt
        unlink(*given, **named)

    removed, unlink = [], os.unlink
    run(tmp_path / "r", *plain("a", "b"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "r", *plain("a"))
    for entry, name in zip(run(tmp_path / "r", *plain("a", "b")), "ab", strict=True):
        assert entry.result["name"] == name
        assert (entry.folder / "name.txt").read_text() == name
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_two_hosts_may_make_one_entry_at_once(tmp_path):
    entry = tmp_path / "r" / "key"
    both = Barrier(2)

    def meet(given: CaseWork, folder: Path) -> dict[str, object]:
        both.wait()
        return write_name(given, folder)

    todo = (entry, ("a", "write"), ())
    Cluster("threads", workers=2).map(partial(case_cache._make_entry, meet), [todo, todo], title="write")
    assert [path.name for path in entry.parent.iterdir()] == ["key"]
    assert (entry / "name.txt").read_text() == "a"
    case_cache._make_entry(meet, todo)  # the entry is not made again: nothing else waits at the barrier


def test_a_machine_that_cannot_read_an_input_is_named(tmp_path):
    unreadable = [tmp_path / "elsewhere.nii.gz"]
    with pytest.raises(
        ClusterError, match=r"elsewhere\.nii\.gz on .*: expected the file that others can read"
    ):
        map_cached(
            write_name,
            plain("a"),
            code=case_cache.__name__,
            key=facts,
            inputs=lambda _: unreadable,
            folder=tmp_path / "r",
            title="write",
            cluster=Cluster("threads"),
        )


def test_files_are_hard_linked_without_the_record(tmp_path):
    (entry,) = run(tmp_path / "r", *plain("a"))
    entry.link_files(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["name.txt"]
    assert os.path.samefile(tmp_path / "out" / "name.txt", entry.folder / "name.txt")


def test_a_digest_is_stored_until_the_file_changes(tmp_path):
    file, table = tmp_path / "file", tmp_path / "digests.json"
    file.write_bytes(b"")
    # SHA-256 of nothing, and of "abc": FIPS 180-2, appendix B.1.
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_files([file], table=table, cluster=LOCAL) == {file: nothing}
    known = json.loads(table.read_text())
    known[str(file)][-1] = "stored"
    table.write_text(json.dumps(known))
    assert digest_files([file], table=table, cluster=LOCAL) == {file: "stored"}
    file.write_bytes(b"abc")
    assert digest_files([file], table=table, cluster=LOCAL) == {file: abc}
    file.unlink()
    assert digest_files([file], table=table, cluster=LOCAL) == {file: ""}
    assert json.loads(table.read_text()) == {}
