import os

import pytest

from glioseg.files import link_or_copy, replaced_whole, write_whole


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
